"""What the command prints: people read lines, machines read JSON, and the two never mix."""

from __future__ import annotations

import json as jsonlib
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from pocketvision.bench import report


class Output:
    """Human text on stdout, or on stderr when `json` asks stdout for machine output; none of
    either when `quiet`.
    """

    def __init__(self, *, json: bool, quiet: bool = False) -> None:
        self.json = json and not quiet
        self.quiet = quiet
        self.stream: TextIO = sys.stderr if json else sys.stdout

    def say(self, text: str = "") -> None:
        """One or more lines for people."""
        if not self.quiet:
            print(text, file=self.stream, flush=True)

    def result(self, value: Any) -> None:
        """The machine's answer, printed only under --json."""
        if self.json:
            print(jsonlib.dumps(value, indent=1, ensure_ascii=False, default=_plain), flush=True)

    def next(self, *words: object) -> None:
        """The next command to run, ready to copy."""
        self.say(f"\nnext: {shlex.join(str(w) for w in words)}")

    def table(self, rows: Sequence[report.Row]) -> None:
        """Rows under their keys, aligned: numbers to the right, text to the left."""
        self.say(report.text(rows))

    @contextmanager
    def progress(
        self, label: str, total: int, *, line: bool = True
    ) -> Iterator[Callable[[int], None]]:
        """A bar on a terminal; elsewhere a `line` at the end. Yields `advance(count)`."""
        if sys.stderr.isatty():
            yield from self._bar(label, total)
            return
        started, done = time.monotonic(), 0

        def advance(count: int = 1) -> None:
            nonlocal done
            done += count

        yield advance
        if done and line:
            print(
                f"{label}: {done} in {time.monotonic() - started:.1f} s",
                file=sys.stderr,
                flush=True,
            )

    def _bar(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(label, total=total)

            def advance(count: int = 1) -> None:
                bar.advance(task, count)

            yield advance


def counted(advance: Callable[[int], None]) -> Callable[[int, int], None]:
    """`advance(count)` as an `on_progress(done, total)`, which may leap when a cache answers."""
    before = 0

    def on_progress(done: int, _total: int) -> None:
        nonlocal before
        advance(done - before)
        before = done

    return on_progress


def _plain(value: object) -> object:
    """What JSON does not know: paths and numpy's numbers."""
    if isinstance(value, Path):
        return str(value)
    item = getattr(value, "item", None)
    if item is None:
        raise TypeError(f"cannot write {type(value).__name__} as JSON")
    return item()


def millions(count: float) -> str:
    """12_345_678 -> "12.35 M"; thousands below a tenth of a million."""
    return f"{count / 1e6:.2f} M" if count >= 1e5 else f"{count / 1e3:.1f} k"


def mebibytes(size_bytes: float) -> str:
    """Bytes as MiB with two digits."""
    return f"{size_bytes / 2**20:.2f} MiB"
