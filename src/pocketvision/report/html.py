"""One self-contained HTML page about a run: no script, nothing loaded from anywhere.

Everything that comes from the run folder is text from strangers: it reaches the page through
`markup`, which escapes it. Parts whose file is not there are a plain sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path

from pocketvision import files
from pocketvision.report import delivery, evidence, overview, pictures, trust
from pocketvision.report.markup import Markup, join, name, tag
from pocketvision.report.run import Run, read
from pocketvision.report.words import clean, percent

# Holds even if a piece of text should ever slip through as markup.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

SECTIONS: tuple[tuple[str, str, Callable[[Run], Markup]], ...] = (
    ("data", "What it was trained on", overview.data),
    ("curves", "How training went", evidence.curves),
    ("classes", "Class by class", evidence.classes),
    ("confusion", "What is mistaken for what", evidence.confusion),
    ("trust", "How far to trust an answer", trust.trust),
    ("cost", "Where the cost lies", delivery.model_cost),
    ("exports", "Exported files", delivery.exports),
    ("speed", "How fast it is", delivery.speed),
    ("settings", "Settings", delivery.settings),
    ("machine", "Machine and packages", delivery.environment),
    ("next", "What to run next", delivery.next_commands),
)


def write(
    run_folder: Path, *, output: Path | None = None, source: pictures.Source | None = None
) -> Path:
    """Write the page of a run to `output` (its own report.html), whole or not at all.

    `source` gives the images of predictions.csv (default: where the run says they are). Raises
    DataError for a folder that is no run or a damaged file in it, PocketvisionError when the page
    cannot be written.
    """
    run = read(run_folder)
    text = page(run, source=source or pictures.of_run(run))
    return files.replace_file(output or run_folder / "report.html", text)


def page(run: Run, *, source: pictures.Source) -> str:
    """The whole page as text. Raises DataError for a value that is not what it should be."""
    parts = [(key, title, make(run)) for key, title, make in SECTIONS]
    photos = ("mistakes", "The surest mistakes", evidence.mistakes(run, source))
    parts.insert(4, photos)
    body = join([_header(run, parts), tag("main", [_section(*p) for p in parts]), _footer()])
    return "<!doctype html>\n" + tag("html", _head(run), tag("body", body), lang="en") + "\n"


def _head(run: Run) -> Markup:
    style = resources.files("pocketvision.report").joinpath("page.css").read_text("utf-8")
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("title", title(run)),
        tag("style", Markup(style)),
    )


def title(run: Run) -> str:
    """What the page is about, in one line."""
    model = run.words("model") or (run.spec.name if run.spec else None) or "a run"
    dataset = run.words("dataset")
    accuracy = run.number("accuracy")
    start = f"{model} on {dataset}" if dataset else model
    return clean(start if accuracy is None else f"{start}: {percent(accuracy)}")


def _header(run: Run, parts: list[tuple[str, str, Markup]]) -> Markup:
    model = run.words("model") or (run.spec.name if run.spec else None) or "A run"
    dataset = run.words("dataset")
    on = [" on ", name(dataset)] if dataset else []
    links = [tag("a", text, href=f"#{key}") for key, text, _ in parts]
    return tag(
        "header",
        tag("h1", name(model), on),
        tag("p", "Run ", name(run.folder.name), class_="lead"),
        overview.headline(run),
        tag("nav", links, aria_label="parts of this page"),
    )


def _section(key: str, title: str, body: Markup) -> Markup:
    return tag("section", tag("h2", title), body, id=key)


def _footer() -> Markup:
    words = (
        "Written by pocketvision from the files of the run folder. Every figure was measured or "
        "computed by the program. The page loads nothing and can be sent as one file."
    )
    return tag("footer", tag("p", words))
