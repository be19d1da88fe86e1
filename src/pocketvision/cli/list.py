"""`pocketvision list`: the models of the zoo and what they cost."""

from __future__ import annotations

from pocketvision.cli.options import Json
from pocketvision.cli.out import Output
from pocketvision.cost import cost
from pocketvision.errors import UnknownName, closest
from pocketvision.zoo import MODELS
from pocketvision.zoo.papers import paper


def list_models(pattern: str = "", /, *, aliases: bool = False, json: Json = False) -> None:
    """List the models with parameters and MACs at their own resolution.

    Parameters
    ----------
    pattern: str
        Show only names that contain this.
    aliases: bool
        Show the names of other libraries too, with what each stands for.
    """
    out = Output(json=json)
    names = [n for n in MODELS if pattern in n]
    others = _aliases(pattern) if aliases else []
    if not names and not others:
        raise UnknownName(f"no model name contains {pattern!r}{closest(pattern, MODELS)}")
    rows = [_row(name) for name in names]
    out.table(rows)
    if others:
        out.say()
        out.table(others)
    out.result({"models": rows, "aliases": others} if aliases else rows)
    out.next("pocketvision", "show", names[0] if names else others[0]["alias"])


def _row(name: str) -> dict[str, object]:
    spec = MODELS[name]()
    total = cost(spec)
    what = (MODELS[name].__doc__ or "").strip().splitlines()[0].rstrip(".")
    height, width = spec.resolution
    size = f"{height}x{width}"
    return {
        "name": name,
        "params": total.params,
        "macs": total.macs,
        "resolution": size,
        "paper": paper(name),
        "what": what,
    }


def _aliases(pattern: str) -> list[dict[str, str]]:
    from pocketvision.zoo.aliases import ALIASES

    return [
        {"alias": a, "model": m, "options": ", ".join(f"{k}={v}" for k, v in o.items())}
        for a, (m, o) in ALIASES.items()
        if pattern in a
    ]
