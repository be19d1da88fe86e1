"""How far an answer can be trusted: reliability, and accuracy over the share that is answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pocketvision.report import axis, tables
from pocketvision.report.line_chart import Line, line_chart, shares
from pocketvision.report.markup import Markup, join, tag
from pocketvision.report.overview import missing
from pocketvision.report.run import Run
from pocketvision.report.words import figure, percent


def trust(run: Run) -> Markup:
    """Both charts, each with its figures in words. Raises DataError."""
    decision = (run.summary or {}).get("decision")
    if decision is None:
        return missing("a decision in summary.json", "how far to trust an answer is not known here")
    try:
        return _charts(decision, decision["figures"], run)
    except (KeyError, TypeError, ValueError, IndexError) as e:
        reason = f"'decision' is not what training writes ({type(e).__name__}: {e})"
        raise tables.damaged(run.folder / "summary.json", reason) from None


def _charts(decision: Mapping[str, Any], found: Mapping[str, Any], run: Run) -> Markup:
    charts = tag("div", _reliability(found), _coverage(found), class_="charts")
    words = [tag("p", text(decision, found)) for text in (_calibrated, _unknown)]
    return join([*words, charts, *_norms(run)])


def _calibrated(decision: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    e = found["ece"]
    return (
        f"Probabilities are softmax(logits / {figure(decision['temperature'])}), fitted on "
        f"{decision['images']:,} validation images. Calibration error: {percent(e['before'])} "
        f"before, {percent(e['after'])} after (cross-fitted: each image judged by a fit that did "
        f"not see it); perfect probabilities would show about {percent(e['noise'])} on so few "
        "images."
    )


def _unknown(decision: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    if decision["threshold"] is None:
        return "Every image gets an answer: no right answer was there to fit a threshold to."
    u = found["unknown"]
    return (
        f"An answer is given where its {decision['score']} is at least "
        f"{figure(decision['threshold'])}, below which it is unknown. Of the validation images "
        f"{percent(u['rejected'])} are unknown, {percent(u['kept_right'])} of the right answers "
        f"are kept, and {percent(u['accuracy_known'])} of what is answered is right. How many "
        "pictures of other things are rejected is not known from these images."
    )


def _reliability(found: Mapping[str, Any]) -> Markup:
    lines = [Line("perfect", "plain", [0.0, 1.0], [0.0, 1.0])]
    for title, style, key in (("before", "train", "before"), ("calibrated", "val", "after")):
        rows = found["bins"][key]
        xs, ys = [float(r["confidence"]) for r in rows], [float(r["accuracy"]) for r in rows]
        lines.append(Line(title, style, xs, ys))
    sizes = ", ".join(f"{percent(r['confidence'], digits=0)}: {r['n']}" for r in rows)
    chart = line_chart(
        lines,
        title="Reliability",
        description=f"Share of right answers over probability; images at each point: {sizes}",
        tick=axis.percent_label,
        bounds=(0.0, 1.0),
        across=shares("probability"),
    )
    words = f"Images at each calibrated point: {sizes}."
    heading = tag("h3", "Right answers over probability")
    return tag("figure", heading, chart, tag("figcaption", words))


def _coverage(found: Mapping[str, Any]) -> Markup:
    rows = found["coverage"]
    xs = [float(r["coverage"]) for r in rows]
    line = Line("validation", "val", xs, [float(r["accuracy"]) for r in rows])
    shown = [r for r in rows if round(20 * r["coverage"]) in (20, 19, 18, 16, 10)]
    chart = line_chart(
        [line],
        title="Accuracy over coverage",
        description="Accuracy among the images answered, the surest first",
        tick=axis.percent_label,
        bounds=(0.0, 1.0),
        across=shares("answered, the surest first"),
    )
    words = "; ".join(
        f"{percent(r['coverage'], digits=0)} answered: {percent(r['accuracy'])} right "
        f"({percent(r['low'])} to {percent(r['high'])})"
        for r in shown
    )
    heading = tag("h3", "Accuracy over coverage")
    return tag("figure", heading, chart, tag("figcaption", f"{words}."))


def _norms(run: Run) -> list[Markup]:
    """A word on batch-norm where its kept statistics do not fit the images."""
    row = (run.summary or {}).get("norms")
    if row is None or not row["differ"]:
        return []
    words = (
        f"Batch-norm: {percent(row['kept'])} of {row['n']} validation images are right by its kept "
        f"statistics, {percent(row['batch'])} by those of each batch. The kept ones do not fit "
        "these images: try pocketvision recalibrate-bn."
    )
    return [tag("p", words, class_="missing")]
