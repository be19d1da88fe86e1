"""Figures and names in words, against hand-worked examples."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvision.report import axis, words


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.7123, "71.2%"),
        (1.0, "100.0%"),
        (0.0, "0.0%"),
        (math.nan, "–"),
        (None, "–"),
    ],
)
def test_percent(value, expected):
    assert words.percent(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5120, "5,120"),
        (63_500, "63.5 k"),
        (1_522_981, "1.52 M"),
        (999_960, "1.00 M"),
        (18_829_312, "18.8 M"),
        (5_749_000_000, "5.75 G"),
        (0, "0"),
        (None, "–"),
        (math.inf, "–"),
    ],
)
def test_count(value, expected):
    assert words.count(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(312, "312 bytes"), (6_140_000, "6.14 MB"), (459_264, "459 kB"), (0, "0"), (None, "–")],
)
def test_size(value, expected):
    assert words.size(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3.14159, "3.1 s"),
        (59.6, "1 min 00 s"),
        (581.3, "9 min 41 s"),
        (3600, "1 h 00 min"),
        (7325, "2 h 02 min"),
    ],
)
def test_duration(value, expected):
    assert words.duration(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(3.1e-6, "3.10e-06"), (5.23, "5.23"), (12345, "12,345"), (0.0, "0")]
)
def test_figure(value, expected):
    assert words.figure(value) == expected


def test_the_middle_of_a_long_name_goes():
    assert words.shortened("convolvulus arvensis", 9) == "conv…nsis"
    assert words.columns("雏菊") == 4
    assert words.shortened("雏菊雏菊", 5) == "雏…菊"


@given(st.text(), st.integers(1, 40))
def test_a_short_name_fits_and_a_fitting_name_stays(text, limit):
    short = words.shortened(text, limit)
    assert words.columns(short) <= limit
    if words.columns(text) <= limit:
        assert short == text


def test_what_cannot_be_seen_becomes_visible():
    assert words.clean("a\nb\tc") == "a b c"
    assert words.clean("gpj.\u202ecat") == "gpj.\ufffdcat"
    assert words.clean("\x00\x1b[31m\ud800") == "\ufffd\ufffd[31m\ufffd"
    assert words.clean("क्‍ष é 花") == "क्‍ष é 花"


def test_ticks_are_round():
    assert axis.ticks(0.53, 1.57) == [0.5, 0.75, 1.0, 1.25, 1.5, 1.75]
    assert axis.ticks(0.26, 0.741) == [0.2, 0.4, 0.6, 0.8]
    assert axis.ticks(0.981, 0.9891) == [0.98, 0.982, 0.984, 0.986, 0.988, 0.99]
    assert axis.whole_ticks(1, 30) == [10, 20, 30]
    assert axis.whole_ticks(1, 4) == [1, 2, 3, 4]
    assert [axis.label(v, 0.25) for v in (0.5, 1.25)] == ["0.50", "1.25"]
    assert axis.label(40, 20) == "40"
    assert [axis.percent_label(v, 0.002) for v in (0.98, 0.982)] == ["98.0%", "98.2%"]
    assert axis.percent_label(0.8, 0.2) == "80%"
    assert axis.percent_label(0.98525, 0.00025) == "98.525%"


@given(st.floats(-1e30, 1e30), st.floats(-1e30, 1e30))
def test_ticks_enclose_what_they_are_for(a, b):
    low, high = min(a, b), max(a, b)
    at = axis.ticks(low, high)
    room = 1e-6 * max(at[-1] - at[0], abs(low), abs(high))
    assert at[0] <= low + room
    assert high - room <= at[-1]
    assert 2 <= len(at) <= 6
    assert at == sorted(set(at))


@given(st.integers(0, 2**53), st.integers(0, 2**53))
def test_whole_ticks_lie_inside(a, b):
    low, high = min(a, b), max(a, b)
    at = axis.whole_ticks(low, high)
    assert len(at) <= 6
    assert all(low <= t <= high for t in at)


@given(st.floats(0, 1), st.floats(0, 1))
def test_ticks_of_shares_stay_shares_and_still_enclose(a, b):
    low, high = min(a, b), max(a, b)
    at = axis.ticks(low, high, bounds=(0.0, 1.0))
    assert len(at) >= 2
    assert 0.0 <= at[0] <= low + 1e-9
    assert high - 1e-9 <= at[-1] <= 1.0


def test_values_out_of_bounds_keep_their_ticks():
    assert axis.ticks(-3.0, -1.0, bounds=(0.0, math.inf)) == [-3.0, -2.5, -2.0, -1.5, -1.0]
