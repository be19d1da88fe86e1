"""`pocketvision predict`: names and probabilities for images."""

from __future__ import annotations

import csv
import io
import json as jsonlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pocketvision.cli.options import Flag, Json
from pocketvision.cli.out import Output
from pocketvision.cli.samples import files_of
from pocketvision.decision import Decision, at_threshold
from pocketvision.errors import DataError, ImageError, UsageError
from pocketvision.files import replace_file

if TYPE_CHECKING:
    from pocketvision.export.open import Opened
    from pocketvision.tasks.classify import Prediction

SHOWN = 20
UNKNOWN = "unknown"


def predict(
    model: Path,
    /,
    *images: str,
    top: int = 3,
    threshold: float | None = None,
    output: Path | None = None,
    runtime: str | None = None,
    threads: int | None = None,
    exact_quantization: Flag = False,
    batch: int = 32,
    json: Json = False,
) -> None:
    """Say what is on images: files, folders (searched through) or patterns such as 'a/*.jpg'.

    An answer that is not sure enough is "unknown", with the best guess beside it. Unreadable images
    are named with their reason; the others are answered, and the exit code is 3.

    Parameters
    ----------
    model: Path
        A bundle, an exported or compiled folder, an .onnx or .xml file.
    images: str
        Files, folders or patterns.
    top: int
        Names for each image.
    threshold: float
        Say unknown below this probability, instead of what training fitted; 0: never say it.
    output: Path
        Write all answers to this file: .csv or .json.
    runtime: str
        torch, torch_channels_last, onnxruntime, openvino or compiled; by default what the model is
        for.
    threads: int
        Threads of the runtime.
    exact_quantization: bool
        Round activations to the grids of the quantized file that the bundle was imported from.
    batch: int
        Images a call.
    """
    from pocketvision.export.open import open_model

    kind = _check(images, output, batch)
    out = Output(json=json)
    runtime = "torch_exact" if exact_quantization else runtime
    opened = open_model(model, runtime=runtime, threads=threads)
    decision = at_threshold(opened.decision.get(opened.heads[0]), threshold)
    files = files_of(images)
    found, bad = _answers(out, opened, decision, files, batch=batch, top=top)
    for path, reason in bad:
        out.say(f"unreadable: {path}: {reason}")
    out.table([_shown(p) for p in found[:SHOWN]])
    unknown = sum(p.known is False for p in found)
    if unknown:
        out.say(f"unknown: {unknown} of {len(found)}; --threshold P decides it otherwise")
    if len(found) > SHOWN:
        out.say(f"... and {len(found) - SHOWN} more; --output FILE.csv keeps them all")
    if output is not None:
        text = _csv(found, bad, top) if kind == "csv" else _json(found, bad)
        out.say(f"\nwritten: {replace_file(output, text)}")
    out.result(_rows(found, bad))
    if bad:
        raise DataError(
            f"{len(bad)} of {len(bad) + len(found)} images could not be read, see above"
        )
    out.next("pocketvision", "bench", model)


def _check(places: Sequence[str], output: Path | None, batch: int) -> Literal["csv", "json"] | None:
    if not places:
        raise UsageError("predict needs images: files, folders or patterns")
    if batch < 1:
        raise UsageError(f"--batch must be 1 or more, got {batch}")
    if output is None:
        return None
    kind = output.suffix.lower().removeprefix(".")
    if kind not in ("csv", "json"):
        raise UsageError(f"--output must end in .csv or .json, got {output}")
    return "csv" if kind == "csv" else "json"


def _answers(
    out: Output,
    opened: Opened,
    decision: Decision | None,
    files: list[Path],
    *,
    batch: int,
    top: int,
) -> tuple[list[Prediction], list[tuple[str, str]]]:
    """Predictions in the order of the files, and the unreadable ones with their reasons."""
    from pocketvision.tasks.decide import decided

    labels, head = opened.labels[opened.heads[0]], opened.heads[0]
    found: list[Prediction] = []
    bad: list[tuple[str, str]] = []
    with out.progress("images", len(files)) as advance:
        for names, x in _batches(opened, files, batch, bad):
            logits = opened.runtime(x)[head]
            found += decided(logits, names, labels=labels, decision=decision, most=top)
            advance(len(names))
    return found, bad


def _batches(
    opened: Opened, files: list[Path], batch: int, bad: list[tuple[str, str]]
) -> Iterator[tuple[list[str], Any]]:
    """(names, inputs (b, c, h, w)) of the readable files; the others go into `bad`."""
    import numpy as np

    from pocketvision.preprocess import prepare

    names: list[str] = []
    rows: list[Any] = []
    for file in files:
        try:
            rows.append(prepare(file, opened.preprocess))
            names.append(str(file))
        except ImageError as e:
            bad.append((e.path, e.reason))
        if len(rows) == batch:
            yield names, np.stack(rows)
            names, rows = [], []
    if rows:
        yield names, np.stack(rows)


def _shown(p: Prediction) -> dict[str, object]:
    if p.known is False:
        guess = ", ".join(f"{name} {share:.1%}" for name, share in p.top)
        return {"image": p.path, "answer": UNKNOWN, "probability": "", "then": f"perhaps {guess}"}
    rest = ", ".join(f"{name} {share:.1%}" for name, share in p.top[1:])
    return {"image": p.path, "answer": p.label, "probability": f"{p.probability:.1%}", "then": rest}


def _rows(found: list[Prediction], bad: list[tuple[str, str]]) -> dict[str, object]:
    """The answers; "known" is null where nothing decides what is unknown."""
    answers = [
        {
            "path": p.path,
            "known": p.known,
            "top": [{"label": n, "probability": v} for n, v in p.top],
        }
        for p in found
    ]
    return {"format": 1, "answers": answers, "bad": [{"path": p, "reason": r} for p, r in bad]}


def _json(found: list[Prediction], bad: list[tuple[str, str]]) -> str:
    return jsonlib.dumps(_rows(found, bad), indent=1, ensure_ascii=False) + "\n"


def _csv(found: list[Prediction], bad: list[tuple[str, str]], top: int) -> str:
    """One image a line: path, label1, probability1, ..., known (yes, no or nothing), error."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [c for k in range(1, top + 1) for c in (f"label{k}", f"probability{k}")]
    writer.writerow(["path", *columns, "known", "error"])
    for p in found:
        cells = [c for name, share in p.top for c in (name, f"{share:.6f}")]
        known = "" if p.known is None else "yes" if p.known else "no"
        writer.writerow([p.path, *cells, *[""] * (2 * top - len(cells)), known, ""])
    for path, reason in bad:
        writer.writerow([path, *[""] * (2 * top), "", reason])
    return text.getvalue()
