"""HTML as values: text is escaped unless it was built here, so nothing from a file is markup."""

from __future__ import annotations

import html
from collections.abc import Iterable

from pocketvision.report.words import clean

VOID = ("br", "hr", "img", "meta", "col")

# SVG elements that end at once, to keep the page short.
EMPTY = ("rect", "line", "circle", "path", "polyline")


class Markup(str):
    """A piece of HTML that `tag` or `join` built."""

    __slots__ = ()


Child = str | Iterable[str] | None


def escaped(text: str) -> Markup:
    """Any text as HTML that shows it."""
    return text if isinstance(text, Markup) else Markup(html.escape(clean(str(text)), quote=True))


def join(children: Child) -> Markup:
    """Children side by side; plain text among them is escaped."""
    if children is None:
        return Markup("")
    if isinstance(children, str):
        return escaped(children)
    return Markup("".join(escaped(c) for c in children))


def tag(kind: str, /, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """One element. `class_` and `aria_label` become `class` and `aria-label`; None leaves out."""
    shown = "".join(_attribute(k, v) for k, v in attributes.items())
    inside = "".join(join(c) for c in children)
    if kind in VOID:
        return Markup(f"<{kind}{shown}>")
    if kind in EMPTY and not inside:
        return Markup(f"<{kind}{shown}/>")
    return Markup(f"<{kind}{shown}>{inside}</{kind}>")


def _attribute(name: str, value: str | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    key = name.rstrip("_").replace("_", "-")
    if value is True:
        return f" {key}"
    if isinstance(value, float):
        value = f"{value:.2f}".rstrip("0").rstrip(".")
    return f' {key}="{html.escape(clean(str(value)), quote=True)}"'


def name(text: str) -> Markup:
    """A class, file or model name: its writing direction stays its own."""
    return tag("bdi", text)


def scrolled(table: Markup, label: str) -> Markup:
    """A wide table that scrolls by itself, by keyboard too, so that the page never does."""
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label=label)
