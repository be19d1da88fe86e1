"""Printed figures agree to their printed digits, or are listed with the reason why they do not.

Papers round or cut, so a figure agrees when either of the two gives it. What a source counts as a
parameter or a MAC stands beside it in the fact file.
"""

import math

import pytest

from .facts import DISAGREEMENTS, PUBLISHED, figures

FIGURES = ("params_M", "macs_M")
KEY = ("source", "model", "options", "resolution")


def agrees(printed: float, counted: float, step: float) -> bool:
    cut = math.floor(counted / step + 1e-9) * step
    rounded = math.floor(counted / step + 0.5) * step
    return min(abs(printed - cut), abs(printed - rounded)) < step / 100


def step_of(row: dict, figure: str) -> float:
    name = figure.replace("_M", "_step")
    return row.get(name, PUBLISHED["sources"][row["source"]][name])


def listed(row: dict, figure: str) -> dict | None:
    for entry in DISAGREEMENTS:
        same = all(entry[k] == row[k] for k in KEY)
        if same and entry["figure"] == figure and entry["printed"] == row[figure]:
            return entry
    return None


def row_name(row: dict) -> str:
    return f"{row['source']} {row['label']} {row['options']} {row['resolution']}"


@pytest.mark.parametrize("row", PUBLISHED["rows"], ids=row_name)
def test_printed_figures(row):
    got = figures(row)
    for figure in FIGURES:
        if figure not in row:
            continue
        fits = agrees(row[figure], got[figure], step_of(row, figure))
        entry = listed(row, figure)
        told = f"printed {row[figure]}, counted {got[figure]:.4f}"
        assert fits or entry, f"{figure} disagrees and is not listed: {told}"
        assert not (fits and entry), f"{figure} agrees but is listed as wrong: {told}"
        if entry:
            assert entry["counted"] == pytest.approx(got[figure], abs=1e-3)


@pytest.mark.parametrize("entry", DISAGREEMENTS, ids=lambda e: f"{e['source']} {e['printed']}")
def test_listed_disagreements(entry):
    """Each is about a row that exists and gives a reason; where a changed network is named, the
    printed figure is that network's.
    """
    rows = [r for r in PUBLISHED["rows"] if all(r[k] == entry[k] for k in KEY)]
    rows = [r for r in rows if r.get(entry["figure"]) == entry["printed"]]
    assert rows
    assert len(entry["reason"]) > 20
    if "agrees_with" in entry:
        changed = figures(rows[0], **entry["agrees_with"])[entry["figure"]]
        assert agrees(entry["printed"], changed, step_of(rows[0], entry["figure"]))


def test_known_misprints_are_listed():
    printed = {(e["source"], e["figure"], e["printed"]) for e in DISAGREEMENTS}
    assert ("v2_paper", "params_M", 6.9) in printed
    assert ("v3_paper", "macs_M", 66.0) in printed
    assert ("slim_v3", "macs_M", 65) in printed
    assert ("next_paper", "macs_M", 690) in printed
