"""Charts of the page: points where the data say, ink that can be read."""

import math
import re
from importlib import resources
from itertools import pairwise

import pytest

from pocketvision.report.class_table import bar, weakest_first
from pocketvision.report.heat_table import level
from pocketvision.report.line_chart import Line, Mark, line_chart
from pocketvision.report.run import ClassRow

CSS = resources.files("pocketvision.report").joinpath("page.css").read_text("utf-8")


def floats(pattern: str, text: str) -> list[tuple[float, ...]]:
    return [tuple(map(float, found)) for found in re.findall(pattern, text)]


def test_points_lie_where_the_ticks_say():
    xs, ys = [1, 2, 3, 4, 5], [0.2, 0.4, 0.35, 0.6, 0.8]
    svg = line_chart([Line("v", "val", xs, ys)], title="t", description="d")
    points = floats(r"([\d.]+),([\d.]+)", re.search(r'points="([^"]*)"', svg)[1])
    # Ticks of y: the value as text, and the grid line that stands 4 units above its baseline.
    ticks = floats(r'<text x="41" y="([\d.]+)" class="tick end">([\d.]+)<', svg)
    (y0, v0), (y1, v1) = ticks[0], ticks[-1]
    for (_, y), value in zip(points, ys, strict=True):
        expected = (y0 - 4) + (value - v0) * (y1 - y0) / (v1 - v0)
        assert y == pytest.approx(expected, abs=0.1)
    steps = [b[0] - a[0] for a, b in pairwise(points)]
    assert steps == pytest.approx([steps[0]] * 4, abs=0.11)


def test_epochs_that_were_not_validated_are_passed_over():
    nan = math.nan
    svg = line_chart(
        [Line("v", "val", [1, 2, 3, 4], [nan, 0.5, nan, 0.7]), Line("one", "train", [3], [0.6])],
        title="t",
        description="d",
        mark=Mark(4, 0.7, "best"),
    )
    assert len(re.search(r'points="([^"]*)"', svg)[1].split()) == 2
    assert svg.count('class="dot train"') == 1
    assert svg.count('class="dot val"') == 2
    assert "nan" not in svg


@pytest.mark.parametrize("ys", [[], [math.nan, math.nan], [math.inf, -math.inf]])
def test_nothing_measured_is_no_chart(ys):
    assert line_chart([Line("v", "val", range(len(ys)), ys)], title="t", description="d") is None


def test_a_long_run_is_thinned_but_keeps_its_ends():
    n = 50_000
    svg = line_chart([Line("v", "val", range(n), range(n))], title="t", description="d")
    points = re.search(r'points="([^"]*)"', svg)[1].split()
    assert len(points) <= 801
    assert points[0].startswith("48.0,")
    assert points[-1] == "386.0,30.0"


def test_every_point_and_word_lies_inside_the_view():
    svg = line_chart(
        [Line("training", "train", [1, 2], [3e5, 1.0]), Line("validation", "val", [1, 2], [9, 8])],
        title="t",
        description="d",
        mark=Mark(2, 8, "best 71.2%, epoch 120"),
    )
    for x, y, words in re.findall(r'<text x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]*)<', svg):
        ends = "tick end" in svg.split(words)[0][-20:]
        width = 7.5 * len(words)
        assert float(x) - (width if ends else 0) >= 0
        assert float(x) + (0 if ends else width / 2) <= 400
        assert 10 <= float(y) <= 250


def test_a_bar_is_as_long_as_its_share():
    svg = bar(0.725, 0.6, 0.8)
    assert 'width="72.5"' in svg
    assert "M60.0 8H80.0" in svg
    assert "fill" not in bar(math.nan, 0.0, 1.0)


def test_the_weakest_class_comes_first_and_the_empty_last():
    def row(name, recall):
        return ClassRow(name, 1, 1, recall, 0.0, 1.0, 1.0, 1.0)

    rows = [row("c", 0.9), row("none", math.nan), row("b", 0.5), row("a", 0.9)]
    assert [r.name for r in weakest_first(rows)] == ["b", "a", "c", "none"]


def test_levels_of_colour_by_hand():
    shares = (0.001, 0.0499, 0.05, 0.199, 0.2, 0.59, 0.79, 0.8, 1.0)
    assert [level(s) for s in shares] == [1, 1, 2, 3, 4, 5, 6, 7, 7]


# ----------------------------------------------------------------------------------------- contrast


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb. Source: WCAG 2.2, definition of relative luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def schemes() -> dict[str, dict[str, str]]:
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.S)
    pairs = [dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block)) for block in blocks]
    return {"light": pairs[0], "dark": pairs[1]}


def test_the_measure_of_contrast_by_hand():
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("ground", ["page", "card"])
def test_text_can_be_read(scheme, ground):
    colours = schemes()[scheme]
    for ink in ("ink", "quiet", "blue", "orange"):
        assert contrast(colours[ink], colours[ground]) >= 4.5, (scheme, ink)


@pytest.mark.parametrize("scheme", [0, 1])
@pytest.mark.parametrize("kind", ["right", "wrong"])
def test_counts_in_coloured_cells_can_be_read(scheme, kind):
    grounds = re.findall(rf"\.{kind}\.h(\d) \{{ background: (#[0-9a-f]{{6}})", CSS)
    inks = re.findall(r"\.h1, .*?\{ color: (#[0-9a-f]{6}); \} .*?\{ color: (#[0-9a-f]{6})", CSS)
    assert len(grounds) == 14
    for step, ground in grounds[7 * scheme : 7 * scheme + 7]:
        ink = inks[scheme][0 if int(step) <= 5 else 1]
        assert contrast(ink, ground) >= 4.5, (scheme, kind, step)
