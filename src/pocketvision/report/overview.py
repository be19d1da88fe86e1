"""The top of the page: how good, how large, and what was trained on what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pocketvision.report import tables
from pocketvision.report.markup import Markup, join, name, tag
from pocketvision.report.run import Run
from pocketvision.report.words import ABSENT, count, duration, figure, percent, size

# Bad files listed by name; the rest is counted.
MOST_FILES = 30
MOST_NAMES = 100


def headline(run: Run) -> Markup:
    """Cards with the figures that people look for first; a figure that is not there has no card."""
    if run.summary is None:
        return tag("p", "The run has not come to its end: there is no summary.json yet, so what "
                   "follows shows how far it came.", class_="missing")  # fmt: skip
    cards = [
        _accuracy(run),
        _card("Mean recall of classes", percent(run.number("macro_recall")), run, "macro_recall"),
        _card("Right within five answers", percent(run.number("top5")), run, "top5"),
        _card("Parameters", count(run.number("params")), run, "params"),
        _card("Multiply-adds an image", count(run.number("macs")), run, "macs"),
        _card("Size of the weights", size(run.number("size_bytes")), run, "size_bytes"),
        _card("Training took", duration(run.number("seconds")), run, "seconds"),
    ]
    return tag("dl", [c for c in cards if c], class_="cards")


def _card(title: str, value: str, run: Run, key: str) -> Markup | None:
    if run.number(key) is None:
        return None
    return tag("div", tag("dt", title), tag("dd", value), class_="card")


def _accuracy(run: Run) -> Markup | None:
    accuracy, n = run.number("accuracy"), run.number("n")
    if accuracy is None:
        return None
    parts = [f"95% interval {interval}" if (interval := interval_words(run)) else ""]
    parts.append(f"on {n:,.0f} validation images" if n is not None else "")
    small = tag("small", ", ".join(p for p in parts if p))
    return tag("div", tag("dt", "Accuracy"), tag("dd", percent(accuracy), small),
               class_="card main")  # fmt: skip


def interval_words(run: Run) -> str | None:
    """The accuracy's interval as "66.3% to 75.7%"; None when it is not there."""
    pair = (run.summary or {}).get("interval")
    if pair is None:
        return None
    numbers = isinstance(pair, list) and [v for v in pair if isinstance(v, int | float)]
    if not numbers or len(numbers) != 2 or len(pair) != 2:
        raise tables.damaged(run.folder / "summary.json", "'interval' is not two numbers")
    return f"{percent(numbers[0])} to {percent(numbers[1])}"


def data(run: Run) -> Markup:
    """Dataset, classes, counts, and the files that were left out."""
    facts = [
        ("Data", run.words("dataset")),
        ("Layout", run.words("layout")),
        ("Model", run.words("model")),
        ("Measured by", run.words("measured_by")),
        ("Started from", _origin(run)),
        ("Best epoch", figure(run.number("best_epoch"))),
        ("Validation loss", figure(run.number("loss"))),
        *((f"Images in {split}", f"{n:,}") for split, n in counts(run).items()),
    ]
    known = [(title, value) for title, value in facts if value and value != ABSENT]
    if not known:
        return missing("summary.json", "what it was trained on is not known here")
    return join([facts_list(known), _classes(class_names(run)), _skipped(run)])


def _origin(run: Run) -> str | None:
    """What the weights were taken from, None for a run from scratch. Raises DataError."""
    row = (run.summary or {}).get("start")
    if row is None:
        return None
    if not isinstance(row, Mapping) or not isinstance(row.get("name"), str):
        raise tables.damaged(run.folder / "summary.json", "'start' does not name its source")
    return f"{row['name']} ({row.get('kind', '')}), sha256 {str(row.get('sha256', ''))[:12]}"


def counts(run: Run) -> dict[str, int]:
    """Images in each split, as the run counted them."""
    value = (run.summary or {}).get("counts") or {}
    good = isinstance(value, Mapping) and all(isinstance(n, int) for n in value.values())
    if not good:
        raise tables.damaged(run.folder / "summary.json", "'counts' is not a number for each split")
    return dict(value)


def class_names(run: Run) -> list[str]:
    """The classes in the network's order."""
    value = (run.summary or {}).get("classes") or []
    if not isinstance(value, list) or not all(isinstance(n, str) for n in value):
        raise tables.damaged(run.folder / "summary.json", "'classes' is not a list of names")
    return value


def _classes(names: Sequence[str]) -> Markup:
    if not names:
        return Markup("")
    shown = [tag("li", name(n)) for n in names[:MOST_NAMES]]
    rest = len(names) - MOST_NAMES
    more = tag("p", f"and {rest:,} more", class_="quiet") if rest > 0 else None
    return join([tag("h3", f"{len(names):,} classes"), tag("ul", shown, class_="names"),
                 *([more] if more else [])])  # fmt: skip


def _skipped(run: Run) -> Markup:
    """Files that could not be read and were left out, with the reason of each."""
    files = skipped(run)
    if not files:
        return tag("p", "No file was left out.", class_="quiet")
    shown = [tag("li", name(p), f": {reason}" if reason else "") for p, reason in files]
    rest = len(files) - MOST_FILES
    parts = [tag("h3", left_out(len(files))),
             tag("ul", shown[:MOST_FILES], class_="plain")]  # fmt: skip
    if rest > 0:
        parts.append(tag("p", f"and {rest:,} more: see summary.json", class_="quiet"))
    return join(parts)


def left_out(n: int) -> str:
    """How many files were left out, as a sentence."""
    return "One file was left out" if n == 1 else f"{n:,} files were left out"


def skipped(run: Run) -> list[tuple[str, str]]:
    """(path, reason) of each file that was left out."""
    rows = (run.summary or {}).get("skipped") or []
    if not isinstance(rows, list):
        raise tables.damaged(run.folder / "summary.json", "'skipped' is not a list")
    return [_pair(row) for row in rows]


def _pair(row: Any) -> tuple[str, str]:
    if isinstance(row, Mapping):
        return str(row.get("path", "")), str(row.get("reason", ""))
    if isinstance(row, list) and len(row) == 2:
        return str(row[0]), str(row[1])
    return str(row), ""


def facts_list(facts: Sequence[tuple[str, str]], *, style: str = "facts") -> Markup:
    """Names and values side by side; style "facts long" sets them in columns."""
    pairs = [tag("div", tag("dt", title), tag("dd", name(value))) for title, value in facts]
    return tag("dl", pairs, class_=style)


def missing(file: str, consequence: str) -> Markup:
    """The plain sentence in the place of a part whose file is not there."""
    return tag("p", f"{file} is not in the folder, so {consequence}.", class_="missing")
