"""`pocketvision export`: a bundle as a file for another runtime, proven to answer like it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pocketvision.cli.of_run import read_as_run
from pocketvision.cli.options import Json, Overwrite
from pocketvision.cli.out import Output, mebibytes
from pocketvision.cli.records import note_export
from pocketvision.cli.samples import cache
from pocketvision.errors import UsageError

if TYPE_CHECKING:
    from pocketvision.bundle import Bundle
    from pocketvision.data.dataset import Dataset
    from pocketvision.export.artifact import Artifact, Check


def export(
    bundle: Path,
    /,
    *,
    format: str = "onnx",
    output: Path | None = None,
    data: str | None = None,
    images: Annotated[int, Parameter(name="--images")] = 1000,
    precision: str = "f32",
    tolerance: float | None = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Export a bundle and prove that the file answers like the original.

    The same real images go through both; over tolerance nothing is written and the exit code is 4.

    Parameters
    ----------
    bundle: Path
        A folder that `train` made.
    format: str
        onnx (run by ONNX Runtime) or openvino.
    output: Path
        The folder to make; by default next to the bundle, named by the format.
    data: str
        Data set whose validation images are used for the proof, beside the bundle's golden images.
    images: int
        At most so many images of --data.
    precision: str
        f32, or f16 to halve the file (openvino).
    tolerance: float
        Largest allowed difference, relative to the largest output; by default by precision.
    """
    from pocketvision import bundle as bundles
    from pocketvision.export import artifact

    if images < 1:
        raise UsageError(f"--images must be 1 or more, got {images}")
    out = Output(json=json)
    loaded = bundles.load(bundle)
    check = artifact.Check(tolerance=tolerance)
    if data is not None:
        check = _check(read_as_run(bundle, data), loaded, images, tolerance)
    target = output or bundle.parent / format
    out.say(f"exporting {bundle} to {format} ...")
    made = artifact.make(
        loaded, format, target, precision=precision, overwrite=overwrite, check=check
    )
    _say(out, made)
    note_export(made.path, _record(made))
    out.result({"path": made.path, "model": made.model, "size_bytes": made.size_bytes,
                "seconds": made.seconds, "parity": made.parity.row()})  # fmt: skip
    out.next("pocketvision", "bench", bundle, made.path)


def _say(out: Output, made: Artifact) -> None:
    """What was made, and the proof, for people."""
    p = made.parity
    out.say(
        f"{made.model}: {mebibytes(made.size_bytes)}, in {made.seconds:.1f} s\n"
        f"proof on {p.n} images, {p.b} against {p.a}:\n"
        f"  largest difference {p.max_abs:.2g} ({p.max_rel:.2g} of the largest output), "
        f"mean {p.mean_abs:.2g}\n"
        f"  same first class on {p.top1_agreement:.2%}"
    )
    if p.metric_a is not None and p.metric_b is not None:
        out.say(f"  accuracy {p.metric_a:.2%} before, {p.metric_b:.2%} after")


def _record(made: Artifact) -> dict[str, object]:
    """The line of the run's exports.json; its name is the runtime's."""
    p = made.parity
    runtime, precision = p.b.rsplit(" ", 1)
    return {
        "name": runtime,
        "format": made.model.suffix.removeprefix("."),
        "precision": precision,
        "size_bytes": made.size_bytes,
        "accuracy": p.metric_b,
        "max_abs": p.max_abs,
        "max_rel": p.max_rel,
        "top1_agreement": p.top1_agreement,
        "n": p.n,
    }


def _check(dataset: Dataset, bundle: Bundle, limit: int, tolerance: float | None) -> Check:
    """Validation images of a data set, spread over it, with their labels by the bundle's names."""
    from pocketvision.data.dataset import relabeled
    from pocketvision.data.shard_files import with_files
    from pocketvision.export.artifact import Check

    names = bundle.labels[bundle.spec.heads[0][0]].names
    dataset = with_files(relabeled(dataset, names), "val", cache=cache())
    samples = dataset.splits["val"]
    chosen = samples[:: max(1, -(-len(samples) // limit))]
    return Check(
        images=[p for s in chosen if (p := s.pixels if s.path is None else s.path) is not None],
        labels=[s.label for s in chosen],
        tolerance=tolerance,
    )
