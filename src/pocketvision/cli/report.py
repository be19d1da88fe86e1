"""`pocketvision report`: the one-page evidence of a run, and its plots."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pocketvision.cli.options import Json
from pocketvision.cli.out import Output
from pocketvision.errors import MissingRuntime

if TYPE_CHECKING:
    from pocketvision.report.pictures import Source


def report(run: Path, /, *, output: Path | None = None, json: Json = False) -> None:
    """Write the page of a run anew, with the exports and times measured since.

    Parameters
    ----------
    run: Path
        A folder that `train` made.
    output: Path
        Write the page here instead of report.html in the run.
    """
    out = Output(json=json)
    page, plots = write(out, run, output=output)
    out.say(f"report: {page.resolve().as_uri()}")
    out.result({"report": page, "plots": plots})
    out.next("pocketvision", "export", run / "bundle")


def write(
    out: Output, run: Path, *, output: Path | None = None, source: Source | None = None
) -> tuple[Path, list[Path]]:
    """The page and the plots of a run; without matplotlib the page alone, and a word about it."""
    from pocketvision.report import html, plots

    page = html.write(run, output=output, source=source)
    try:
        return page, list(plots.write(run, source=source))
    except MissingRuntime as e:
        out.say(f"no plots: {e}")
        return page, []
