"""`pocketvision import`: someone else's weights as a bundle, with a report of what was found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketvision.cli.options import Flag, Json, Overwrite, resolution
from pocketvision.cli.out import Output, mebibytes
from pocketvision.errors import UsageError, WeightsError
from pocketvision.files import check_free

if TYPE_CHECKING:
    from pocketvision.bundle import Bundle
    from pocketvision.weights.found import Found, Imported, Wishes

MAX_LABEL_BYTES = 1 << 20
SHOWN_DIFFERENCES = 40


def import_weights(
    file: str,
    /,
    *,
    model: str | None = None,
    output: Path | None = None,
    input_scaling: str | None = None,
    input_size: str | None = None,
    labels: Path | None = None,
    bgr: Flag = False,
    exact_quantization: Flag = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Read weights of timm, torchvision, Keras, TFLite, TensorFlow.js, ONNX or the authors.

    What the file is follows from its bytes, which network it is from its tensors. A mismatch is
    listed tensor by tensor. No code of a file is ever run.

    Parameters
    ----------
    file: str
        A weight file, the folder of a TensorFlow.js model, or a name of `weights list` that was
        pulled.
    model: str
        Name of the network, where the tensors cannot tell or should not decide.
    output: Path
        The bundle's folder; by default runs/import/<name of the file>.
    input_scaling: str
        imagenet, -1..1, 0..1 or 0..255: how pixels become numbers, where the file does not say.
    input_size: str
        224 or HEIGHTxWIDTH, where the file does not say.
    labels: Path
        Names of the outputs, one a line (a word such as n01440764 before the name is left out).
    bgr: bool
        The network was trained on blue, green, red.
    exact_quantization: bool
        Say how far rounding activations to the file's own grids moves the answers.
    """
    from pocketvision import bundle as bundles
    from pocketvision.weights.importer import import_file

    out = Output(json=json)
    path = weight_file(file)
    folder = output or Path("runs/import") / path.stem
    check_free(folder, overwrite=overwrite)
    wishes = _wishes(model, input_scaling, input_size, labels, bgr)
    try:
        made = import_file(path, wishes)
    except WeightsError as e:
        _explain(out, e)
        raise
    saved = bundles.save(made.bundle, folder, overwrite=overwrite)
    _say(out, made.found, made.bundle)
    moved = _moved(out, made) if exact_quantization else None
    out.say(f"\nbundle: {saved}")
    out.result({"bundle": saved, **made.found.record(), "exact_quantization": moved})
    if made.bundle.spec.heads:
        out.next("pocketvision", "predict", saved, "IMAGES")
    else:
        out.next("pocketvision", "show", saved)


def weight_file(file: str) -> Path:
    """The file, or the pulled file of a name in the table. Raises WeightsError, UnknownName."""
    path = Path(file)
    from pocketvision.weights.sources import SOURCES, source

    if path.exists() or file not in SOURCES:
        return path
    from pocketvision.cli.weights import places
    from pocketvision.weights.fetch import find

    found = find(source(file), places())
    if found is None:
        raise WeightsError(f"{file} is not at hand: pocketvision weights pull {file}")
    return found.path


def _wishes(
    model: str | None, scaling: str | None, size: str | None, labels: Path | None, bgr: bool
) -> Wishes:
    from pocketvision.weights.found import Wishes

    sides = None if size is None else resolution(size)
    pair = (sides, sides) if isinstance(sides, int) else sides
    names = None if labels is None else _names(labels)
    return Wishes(model=model, scaling=scaling, resolution=pair, labels=names, bgr=bgr)


def _names(file: Path) -> tuple[str, ...]:
    """Names of a label file, without the synset numbers that some lists put first."""
    try:
        with file.open("rb") as f:
            text = f.read(MAX_LABEL_BYTES).decode("utf-8", "replace")
    except OSError as e:
        raise UsageError(f"cannot read the labels {file}: {e.strerror}") from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    words = [line.split(maxsplit=1) for line in lines]
    synsets = all(len(w) == 2 and w[0][:1] == "n" and w[0][1:].isdigit() for w in words)
    return tuple(w[1] for w in words) if synsets and words else tuple(lines)


def _explain(out: Output, error: WeightsError) -> None:
    """Every difference, a line each, before the error's own line."""
    lines = getattr(error, "differences", ())
    for line in lines[:SHOWN_DIFFERENCES]:
        out.say(f"  {line}")
    if len(lines) > SHOWN_DIFFERENCES:
        out.say(f"  ... and {len(lines) - SHOWN_DIFFERENCES} more")


def _say(out: Output, found: Found, bundle: Bundle) -> None:
    size = sum(t.numel() * t.element_size() for t in bundle.weights.values())
    out.say(f"{found.source}: {found.model} ({len(bundle.weights)} tensors, {mebibytes(size)})")
    for name, text in found.facts.items():
        out.say(f"  {name:<17} {text}")
    for text in found.assumed:
        out.say(f"  assumed: {text}")
    for text in found.left_out:
        out.say(f"  left out: {text}")


def _moved(out: Output, made: Imported) -> dict[str, Any]:
    """How far the rounded network's answers lie from the real one's, on the golden images."""
    from pocketvision.bundle import outputs
    from pocketvision.weights.exact import exact_network

    bundle = made.bundle
    rounded = outputs(exact_network(bundle), bundle.golden["input"])
    rows = {}
    for name, y in rounded.items():
        difference = (y - bundle.golden[name]).abs().max().item()
        rows[name.removeprefix("output.")] = difference
        largest = bundle.golden[name].abs().max().item()
        out.say(f"  rounded to grids  moves {name} by up to {difference:.3g} of {largest:.3g}")
    return rows
