"""Matplotlib figures without its global state, and letters that its fonts can draw.

Matplotlib is an optional package: it is imported inside the functions. pyplot is never imported,
so the caller's backend, style and open figures stay as they are.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pocketvision import files
from pocketvision.errors import MissingRuntime
from pocketvision.report.palette import GREY, INK, PALE
from pocketvision.report.words import clean, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
FIRST_FAMILY = "DejaVu Sans"  # comes with matplotlib

# Families of wide coverage on Linux, macOS, Windows and Android, tried in this order for letters
# that the first family lacks. Emoji fonts are pictures, which matplotlib cannot draw.
FAMILIES = (
    "Noto Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans CJK KR",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "PingFang SC",
    "Hiragino Sans",
    "Apple SD Gothic Neo",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "SimHei",
    "Noto Sans Arabic",
    "Noto Naskh Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Devanagari",
    "Noto Sans Bengali",
    "Noto Sans Tamil",
    "Noto Sans Telugu",
    "Noto Sans Thai",
    "Noto Sans Georgian",
    "Noto Sans Armenian",
    "Noto Sans Ethiopic",
    "Noto Sans Symbols2",
    "Nirmala UI",
    "Leelawadee UI",
    "Arial Unicode MS",
    "FreeSans",
    "Unifont",
)


def new_figure(width: float, height: float) -> Figure:
    """An empty white figure of (width, height) inches. Raises MissingRuntime."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingRuntime.of("matplotlib", "plots") from None
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.12)
    return figure


def plain_axes(axes: Axes, *, grid: str | None = "y") -> Axes:
    """Axes with the left and bottom line only, quiet ticks and a pale grid along `grid`."""
    axes.set_facecolor("white")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GREY)
    axes.tick_params(colors=GREY, labelcolor=INK, labelsize=9)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis=grid, color=PALE, linewidth=0.8)  # type: ignore[arg-type]
    return axes


def png(figure: Figure) -> bytes:
    """The figure as PNG, the same bytes for the same figure."""
    _letter(figure)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return out.getvalue()


def save(figure: Figure, path: Path) -> Path:
    """Write the figure as PNG, whole or not at all. Raises PocketvisionError."""
    return files.replace_file(path, png(figure))


# ------------------------------------------------------------------------------------------ letters


def drawn_names(names: Sequence[str], *, limit: int = 28) -> list[str]:
    """Names as matplotlib can draw them: one line, at most `limit` columns.

    A name with letters that no installed font has is shown by its number, "#3": give all classes in
    their order.
    """
    cleaned = [clean(name) for name in names]
    known = covered("".join(cleaned))
    return [
        shortened(name, limit) if set(name) <= known else f"#{i}" for i, name in enumerate(cleaned)
    ]


def drawn_text(text: str, *, limit: int = 80) -> str:
    """One line of text for a title; letters that no font has become "?"."""
    known = covered(text)
    return shortened("".join(c if c in known else "?" for c in clean(text)), limit)


def covered(text: str) -> set[str]:
    """The characters of `text` that an installed font can draw."""
    wanted = set(text)
    return {c for c in wanted if any(ord(c) in _letters(f) for f in families(wanted))}


def families(characters: Iterable[str]) -> list[str]:
    """The first family, then as many of FAMILIES as add characters."""
    chosen, missing = [FIRST_FAMILY], {ord(c) for c in characters} - _letters(FIRST_FAMILY)
    for family in FAMILIES:
        if missing and missing & _letters(family):
            chosen.append(family)
            missing -= _letters(family)
    return chosen


@cache
def _letters(family: str) -> frozenset[int]:
    """Code points of an installed family; none when it is not installed or cannot be read."""
    from matplotlib.font_manager import fontManager, get_font

    # Upright and regular, as text is drawn; a family without such a face is left alone.
    faces = [
        f
        for f in fontManager.ttflist
        if f.name == family and f.style == "normal" and f.weight in (400, "normal", "regular")
    ]
    try:
        return frozenset(get_font(faces[0].fname).get_charmap()) if faces else frozenset()
    except (OSError, RuntimeError):
        return frozenset()


def _letter(figure: Figure) -> None:
    """Give every text the families it needs, and keep "$" in names from being read as formulas."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        chosen = families(text.get_text())
        text.set_fontfamily(chosen)
        text.set_parse_math(False)
        if len(chosen) > 1:  # not every family has a bold face
            text.set_fontweight("normal")
