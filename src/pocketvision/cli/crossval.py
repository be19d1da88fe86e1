"""--folds: cross-validation, which measures with every image, and a bundle trained on all of them.

Each fold's run is judged on the part that it has not seen; these answers together give one accuracy
over all images. The last run trains on everything and is what goes to a device; nothing is left to
measure it with, so its figure is the cross-validated one, and its temperature and threshold are
fitted on the folds' answers. Its validation images are those of the test split where there is one,
else the last fold's, which it has seen: no figure of theirs is kept.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketvision.cli import series
from pocketvision.cli.series import Heard, One, Series
from pocketvision.errors import DataError, UsageError
from pocketvision.files import replace_file

if TYPE_CHECKING:
    import numpy as np

    from pocketvision.bundle import Bundle
    from pocketvision.data.dataset import Dataset
    from pocketvision.decision import Decision
    from pocketvision.labels import Labels
    from pocketvision.tasks.classify import Metrics
    from pocketvision.train.events import Event

FINAL = "final"
LOGITS = "logits.npy"
MEASURED = ("n", "accuracy", "interval", "top5", "loss", "macro_recall")
OF_VALIDATION = ("per_class.csv", "confusion.csv", "predictions.csv")


def run(all_: Series) -> dict[str, Any]:
    """Train every fold and then on everything; summary.json of the series, which is written with
    its tables and its bundle. Raises UsageError for --patience.
    """
    from pocketvision.data.folds import fold_datasets

    count = all_.setup.folds
    assert count is not None
    if all_.config.patience is not None:
        raise UsageError(
            "--patience chooses the epoch by the images that --folds measures with, and the figure "
            "would be too good; leave it out"
        )
    data = fold_datasets(all_.dataset, count, seed=all_.setup.split_seed)
    ones = [
        One(name=f"fold-{k + 1}", dataset=one, config=all_.config, heard=_with_logits)
        for k, one in enumerate(data)
    ]
    final = One(
        name=FINAL,
        dataset=_everything(data[-1]),
        config=all_.config,
        heard=lambda folder: _without_val if _seen(data[-1]) else lambda event: event,
    )
    folders = all_.run([*ones, final])
    return gathered(all_, folders[:-1], folders[-1], seen=_seen(data[-1]))


def _seen(fold: Dataset) -> bool:
    """The last run can only be looked at on images that it trains on."""
    return not fold.splits.get("test")


def _everything(last: Dataset) -> Dataset:
    """All images to train on. Validation images: see above."""
    from pocketvision.data.folds import pooled

    val = last.splits.get("test") or last.splits["val"]
    words = "everything but the test split" if last.splits.get("test") else "everything"
    return replace(last, splits={"train": pooled(last), "val": val}, layout=words)


# ----------------------------------------------------------------------------------------- hearing


def _with_logits(folder: Path) -> Heard:
    """Keeps a fold's answers about its validation images beside its run."""
    import numpy as np

    from pocketvision.train.events import Finished

    def hear(event: Event) -> Event:
        if isinstance(event, Finished):
            data = io.BytesIO()
            np.save(data, event.logits)
            replace_file(folder / LOGITS, data.getvalue())
        return event

    return hear


def _without_val(event: Event) -> Event:
    """Nothing is shown of validation images that are trained on."""
    from pocketvision.train.events import EpochDone

    if not isinstance(event, EpochDone):
        return event
    return replace(event, row=replace(event.row, val_loss=None, val_accuracy=None))


# ---------------------------------------------------------------------------------------- together


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The folds' answers about all images, each by a run that has not seen it."""

    names: tuple[str, ...]
    truth: np.ndarray
    logits: np.ndarray
    labels: Labels

    @property
    def metrics(self) -> Metrics:
        """Figures over all of them."""
        from pocketvision.tasks.classify import measure

        return measure(self.logits, self.truth, labels=self.labels)

    def decision(self, known_share: float) -> Decision:
        """Temperature and threshold fitted on them."""
        from pocketvision.tasks.calibrate import fitted

        return fitted(self.logits, self.truth, labels=self.labels, known_share=known_share)


def pool_of(folders: Sequence[Path], labels: Labels) -> Pool:
    """Read what finished folds left. Raises DataError for one that was damaged."""
    import numpy as np

    names: list[str] = []
    truth: list[int] = []
    logits = []
    place = {name: i for i, name in enumerate(labels.names)}
    for folder in folders:
        try:
            rows = list(csv.DictReader((folder / "predictions.csv").read_text().splitlines()))
            names += [row["path"] for row in rows]
            truth += [place[row["label"]] for row in rows]
            logits.append(np.load(folder / LOGITS, allow_pickle=False))
        except (OSError, ValueError, KeyError) as e:
            raise DataError(
                f"{folder} is damaged ({e}); remove it, and --resume trains this fold again"
            ) from None
    return Pool(
        names=tuple(names), truth=np.array(truth), logits=np.concatenate(logits), labels=labels
    )


def gathered(all_: Series, folds: Sequence[Path], final: Path, *, seen: bool) -> dict[str, Any]:
    """The figures over all folds, as tables, summary and in the bundle that is kept."""
    from pocketvision import bundle as bundles
    from pocketvision.train import tables

    last = bundles.load(final / "bundle")
    (head,) = last.labels
    pool = pool_of(folds, last.labels[head])
    metrics, decision = pool.metrics, pool.decision(all_.config.known_share)
    rows = series.lines(folds)
    made = _summary(all_, final, metrics, rows, seen=seen) | {"decision": decision.row()}
    tables.write_classes(all_.folder, metrics)
    tables.write_confusion(all_.folder, metrics)
    tables.write_predictions(
        all_.folder, pool.names, pool.truth, logits=pool.logits, labels=pool.labels,
        decision=decision,
    )  # fmt: skip
    bundles.save(
        _with_figures(last, made, {head: decision}), all_.folder / "bundle", overwrite=True
    )
    for name in ("env.json", "trace.json"):
        replace_file(all_.folder / name, (final / name).read_bytes())
    if seen:
        _unmeasured(final)
    replace_file(all_.folder / "summary.json", json.dumps(made, indent=1) + "\n")
    return made


def _summary(
    all_: Series, final: Path, metrics: Metrics, rows: list[dict[str, Any]], *, seen: bool
) -> dict[str, Any]:
    """summary.json of the series: the network of the last run, with the figures of the folds."""
    last, count, setup = series.summary(final), len(rows), all_.setup
    grouped = f", groups whole ({setup.group_by})" if setup.group_by else ""
    layout = all_.dataset.layout.split(";")[0]
    test = {} if seen else {"test": {key: last[key] for key in MEASURED}}
    plain = {key: value for key, value in last.items() if key != "norms"}
    return plain | metrics.to_dict() | test | {
        "layout": f"{layout}; {count} folds by seed {setup.split_seed}{grouped}",
        "measured_by": f"{count}-fold cross-validation; the network was trained on all images",
        "counts": {name: len(samples) for name, samples in _counted(all_.dataset).items()},
        "seconds": last["seconds"] + sum(r["seconds"] for r in rows),
        "folds": {
            "count": count,
            "accuracy": series.spread([row["accuracy"] for row in rows]),
            "macro_recall": series.spread([row["macro_recall"] for row in rows]),
        },
        "runs": rows,
        "per_class": [
            {"class": c.name, "n": c.n, "correct": c.correct, "answered": c.answered,
             "recall": c.recall if c.n else None, "interval": list(c.recall_interval)}
            for c in metrics.per_class
        ],
    }  # fmt: skip


def _counted(dataset: Dataset) -> dict[str, Sequence[Any]]:
    from pocketvision.data.folds import pooled

    test = dataset.splits.get("test")
    return {"train": pooled(dataset), **({"test": test} if test else {})}


def _with_figures(last: Bundle, made: dict[str, Any], decision: dict[str, Decision]) -> Bundle:
    """The last run's bundle, which says how good it is by the folds."""
    measured = {key: made[key] for key in MEASURED} | {"by": made["measured_by"]}
    manifest = {k: v for k, v in last.manifest.items() if k != "files"} | {"measured": measured}
    return replace(last, manifest=manifest, decision=decision)


def _unmeasured(final: Path) -> None:
    """Take away what the last run says of images that it was trained on."""
    for name in OF_VALIDATION:
        (final / name).unlink(missing_ok=True)
    row = series.summary(final)
    for key in (*MEASURED, "decision", "norms"):
        row.pop(key, None)
    row["measured_by"] = "nothing: it was trained on all images; see the summary of the series"
    replace_file(final / "summary.json", json.dumps(row, indent=1) + "\n")
    table = list(csv.DictReader((final / "results.csv").read_text().splitlines()))
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]) if table else ["epoch"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**r, "val_loss": "", "val_accuracy": ""} for r in table)
    replace_file(final / "results.csv", text.getvalue())


# ------------------------------------------------------------------------------------------- shown


def say(all_: Series, made: dict[str, Any]) -> None:
    """The folds, the figure over all images and each class, for people."""
    out, row = all_.out, made["folds"]
    low, high = made["interval"]
    out.say()
    out.table(series.table(made["runs"]))
    out.say(
        f"\ncross-validated accuracy {made['accuracy']:.2%}: {made['n']} images, each judged by a "
        f"run that has not seen it (95% interval {low:.2%} to {high:.2%})\n"
        f"over folds: {series.spread_words(row['accuracy'])}\n"
        f"mean recall over classes {made['macro_recall']:.2%}\n"
    )
    out.table([_class_row(c) for c in made["per_class"] if c["n"]])
    out.say("\nthe bundle was trained on all of them; what it was measured by are the folds")
    if "test" in made:
        test = made["test"]
        low, high = test["interval"]
        out.say(
            f"it has {test['accuracy']:.2%} on the {test['n']} images of the test split (95% "
            f"interval {low:.2%} to {high:.2%})"
        )


def _class_row(row: dict[str, Any]) -> dict[str, object]:
    low, high = row["interval"]
    return {
        "class": row["class"],
        "images": row["n"],
        "right": row["correct"],
        "recall": f"{row['recall']:.1%}",
        "95% interval": f"{low:.1%} to {high:.1%}",
    }
