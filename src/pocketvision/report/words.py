"""Figures and names as people read them: percent, counts, sizes, times, names that fit."""

from __future__ import annotations

import math
import unicodedata

ABSENT = "–"

# What a reader cannot see but a terminal, a page or a file format obeys: controls, bidirectional
# overrides, halves of surrogate pairs, unassigned and private characters.
UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
# Joiners are format characters that many scripts cannot be spelt without.
JOINERS = ("\u200c", "\u200d")


def clean(text: str) -> str:
    """`text` on one line; what cannot be seen becomes a visible mark, so that nothing hides."""
    spaced = text.replace("\n", " ").replace("\t", " ")
    seen = (c if _seen(c) else "\N{REPLACEMENT CHARACTER}" for c in spaced)
    return "".join(seen)


def _seen(character: str) -> bool:
    return character in JOINERS or unicodedata.category(character) not in UNSEEN


def columns(text: str) -> int:
    """Width of `text` in columns of a plain letter: wide letters take two, marks none."""
    return sum(_columns(c) for c in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def shortened(text: str, limit: int) -> str:
    """`text` in at most `limit` columns. The middle goes: names of a family differ at their end."""
    if columns(text) <= limit:
        return text
    front = _prefix(text, limit // 2)
    return front + "…" + _suffix(text, limit - 1 - columns(front))


def _prefix(text: str, limit: int) -> str:
    used = 0
    for i, character in enumerate(text):
        used += _columns(character)
        if used > limit:
            return text[:i]
    return text


def _suffix(text: str, limit: int) -> str:
    used = 0
    for i in range(len(text) - 1, -1, -1):
        used += _columns(text[i])
        if used > limit:
            return text[i + 1 :]
    return text


def percent(share: float | None, *, digits: int = 1) -> str:
    """0.7123 -> "71.2%"; a dash when there is no figure."""
    if share is None or not math.isfinite(share):
        return ABSENT
    return f"{100 * share:.{digits}f}%"


def count(number: float | None) -> str:
    """1234567 -> "1.23 M", 56400 -> "56.4 k"; small numbers whole."""
    return _scaled(number, ((1e9, " G"), (1e6, " M"), (1e3, " k")), whole_below=10_000)


def size(size_bytes: float | None) -> str:
    """6_100_000 -> "6.10 MB" (decimal megabytes)."""
    return _scaled(size_bytes, ((1e9, " GB"), (1e6, " MB"), (1e3, " kB"), (1, " bytes")))


def _scaled(
    number: float | None, units: tuple[tuple[float, str], ...], *, whole_below: float = 0
) -> str:
    if number is None or not math.isfinite(number):
        return ABSENT
    if abs(number) < whole_below:
        return f"{number:,.0f}"
    for scale, unit in units:
        if abs(number) >= 0.9995 * scale:  # 999 960 is one million in three digits
            value = number / scale
            return f"{value:.0f}{unit}" if scale == 1 else f"{_three_digits(value)}{unit}"
    return f"{number:g}"


def _three_digits(value: float) -> str:
    if abs(value) >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"


def figure(value: float | None) -> str:
    """A plain number with four significant digits; a dash when there is none."""
    if value is None or math.isnan(value):
        return ABSENT
    if isinstance(value, int):
        return f"{value:,}"
    if value != 0 and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.2e}"
    return f"{value:.4g}"


def duration(seconds: float | None) -> str:
    """581.3 -> "9 min 41 s"."""
    if seconds is None or not math.isfinite(seconds):
        return ABSENT
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
