"""Entry point: parse, run the verb, and turn every error into one line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from cyclopts import App, CycloptsError

from pocketvision import __version__
from pocketvision.cli.commands import COMMANDS, GROUPS, ORDER
from pocketvision.errors import Interrupted, PocketvisionError

HELP = """\
Small image networks for phones, edge boxes and plain CPUs.
Photos in; a trained, measured, exported network out, every file proven to answer like the original.
"""


def overview() -> str:
    """The help of the command itself: the verbs in the order in which people meet them.

    Written here and not by the parser, whose help takes three times as long to appear.
    """
    verbs = {**COMMANDS}
    for group, (_text, functions) in GROUPS.items():
        verbs |= {f"{group} {name}": f for name, f in functions.items()}
    rows = [f"  {name:<14} {_summary(f)}" for name, f in sorted(verbs.items(), key=_place)]
    return "\n".join(
        [
            "usage: pocketvision COMMAND ...\n",
            HELP,
            *rows,
            "",
            "  --help       This text; after a command, the command's own.",
            "  --version    Version of pocketvision.",
            "",
            "start with: pocketvision train digits --time 1m",
        ]
    )


def _place(row: tuple[str, object]) -> int:
    return ORDER.index(row[0]) if row[0] in ORDER else len(ORDER)


def _summary(function: Callable[..., object]) -> str:
    return (function.__doc__ or "").strip().splitlines()[0]


def app() -> App:
    """The command's parser, with every verb of COMMANDS."""
    parser = App(
        name="pocketvision",
        help=HELP,
        version=__version__,
        help_on_error=False,
        help_format="plaintext",
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for name, function in COMMANDS.items():
        parser.command(function, name=name)
    for group, (text, functions) in GROUPS.items():
        sub = App(name=group, help=text)
        for name, function in functions.items():
            sub.command(function, name=name)
        parser.command(sub)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; leaves with an exit code of the design."""
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    """The exit code of `pocketvision *argv`."""
    if not argv or list(argv) in (["--help"], ["-h"], ["help"]):
        print(overview())
        return 0
    try:
        result = app()(list(argv), exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except BrokenPipeError:  # `pocketvision list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except CycloptsError as e:
        return _fail(f"{_sentence(str(e))} See pocketvision --help.", 2)
    except PocketvisionError as e:
        return _fail(str(e), e.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted", Interrupted.exit_code)
    except Exception as e:
        if os.environ.get("POCKETVISION_DEBUG"):
            raise
        return _fail(
            f"unexpected {type(e).__name__}: {' '.join(str(e).split())[:300]}; this is a fault of "
            "pocketvision, POCKETVISION_DEBUG=1 shows where",
            1,
        )
    return result if isinstance(result, int) else 0


def _fail(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith((".", "?", "!")) else f"{text}."
