"""What can be compiled: a bundle, or an .onnx file with what ONNX Runtime answers to it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pocketvision import bundle as bundles
from pocketvision import preprocess
from pocketvision.bundle import Bundle
from pocketvision.compiler import api, reference
from pocketvision.compiler.api import Contract
from pocketvision.compiler.golden import Case
from pocketvision.compiler.graph import Graph
from pocketvision.compiler.passes import simplify
from pocketvision.compiler.project import file_shape
from pocketvision.compiler.read_onnx import read_onnx
from pocketvision.errors import BundleError, DataError, UsageError
from pocketvision.export import compiled, onnx
from pocketvision.export.metadata import PREFIX
from pocketvision.export.metadata import texts as texts_of
from pocketvision.export.parity import TOLERANCE

LEAST_CASES = 4
# ONNX Runtime computes sigmoids to 1e-7 of 1, not of themselves: where a network answers less than
# this, 1e-4 of the answer is finer than its own rounding, and float64 judges instead.
SMALL = 0.01
TYPES = {"tensor(float16)": np.float16, "tensor(double)": np.float64}


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What is compiled, and all that is known of it."""

    name: str
    graph: Graph
    texts: Mapping[str, str]
    contract: Contract | None
    cases: Sequence[Case]
    bundle: Bundle | None = None
    reference: str = "onnxruntime f32"  # what answered the cases of a file


def origin_of(source: Path, shapes: Mapping[str, tuple[int, ...]]) -> Origin:
    """What is at `source`. Raises BundleError, DataError, UsageError."""
    if source.suffix.lower() == ".onnx" and source.is_file():
        return _from_onnx(source, shapes)
    if source.is_file():
        raise UsageError(f"{source} is not an .onnx file; give a bundle folder or model.onnx")
    if (exported := source / onnx.FILE).is_file():
        return _from_onnx(exported, shapes)
    if not source.exists():
        raise BundleError(f"no model at {source}: give a bundle folder or an .onnx file")
    if shapes:
        raise UsageError("--input-shape is for .onnx files; a bundle knows the size of its input")
    return _from_bundle(bundles.load(source))


def _from_bundle(bundle: Bundle) -> Origin:
    if not bundle.spec.heads:
        raise UsageError(
            "the bundle is a trunk, which has no head and answers nothing: train one onto it with "
            "pocketvision train DATA --from BUNDLE, then compile that"
        )
    with tempfile.TemporaryDirectory(prefix="pocketvision-") as temporary:
        graph = simplify(read_onnx(onnx.export(bundle, Path(temporary))))
    contract = Contract(preprocess=bundle.preprocess, labels=bundle.labels)
    api.check_contract(graph, contract)
    golden = bundle.golden
    if "input" not in golden:
        golden = bundles.golden(bundle, bundles.noise_images())
    arrays = {name: value.numpy() for name, value in golden.items()}
    cases = [
        Case(
            inputs=[x],
            outputs=[arrays[f"output.{o.name}"][i] for o in graph.outputs],
            image=arrays[f"image.{i}"],
        )
        for i, x in enumerate(arrays["input"])
    ]
    return Origin(
        name=bundle.spec.name,
        graph=graph,
        texts=texts_of(bundle, precision="f32"),
        contract=contract,
        cases=cases,
        bundle=bundle,
    )


def _from_onnx(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Origin:
    written = read_onnx(path, input_shapes=shapes or None)
    graph = simplify(written)
    session = onnx.session(path, 1)
    texts = dict(session.get_modelmeta().custom_metadata_map)
    texts = {key: texts[key] for key in sorted(texts) if key.startswith(PREFIX)}
    found = compiled.metadata_of(texts, path)
    contract = None
    if found is not None:
        contract = Contract(preprocess=found.preprocess, labels=found.labels)
        api.check_contract(graph, contract)
    batch = next((s[0] for s in shapes.values()), _batch(session))
    cases = _answered(session, graph, batch, contract)
    small = any(np.abs(y).max() < SMALL for case in cases for y in case.outputs)
    return Origin(
        name=path.stem,
        graph=graph,
        texts=texts,
        contract=contract,
        cases=[_in_float64(written, case) for case in cases] if small else cases,
        reference="float64" if small else "onnxruntime f32",
    )


def _batch(session: Any) -> int:
    shapes = [i.shape for i in session.get_inputs()]
    return next((s[0] for s in shapes if s and isinstance(s[0], int)), 1)


def _answered(session: Any, graph: Graph, batch: int, contract: Contract | None) -> list[Case]:
    """What ONNX Runtime answers: to the golden images where they can be prepared, else to noise."""
    images: list[np.ndarray | None] = [None] * LEAST_CASES
    if contract is not None:
        images = [*bundles.noise_images()]
    images += [images[0]] * (-len(images) % batch)
    for draw in (np.random.Generator.standard_normal, np.random.Generator.random):
        generator = np.random.Generator(np.random.PCG64(0))
        cases = []
        for start in range(0, len(images), batch):
            part = images[start : start + batch]
            x = [_inputs(graph, contract, image, generator, draw) for image in part]
            cases += _cases(session, graph, x, part)
        if all(np.isfinite(y).all() for case in cases for y in case.outputs):
            return cases
    raise DataError("the network answers with infinity or not-a-number, to any input")


def _inputs(
    graph: Graph,
    contract: Contract | None,
    image: np.ndarray | None,
    generator: np.random.Generator,
    draw: Callable[..., np.ndarray],
) -> list[np.ndarray]:
    if contract is not None and image is not None:
        return [preprocess.prepare(image, contract.preprocess)]
    return [draw(generator, file_shape(i)).astype(np.float32) for i in graph.inputs]


def _cases(
    session: Any,
    graph: Graph,
    inputs: Sequence[Sequence[np.ndarray]],
    images: Sequence[np.ndarray | None],
) -> list[Case]:
    """One run of a batch, as a case an image."""
    kinds = {i.name: TYPES.get(i.type, np.float32) for i in session.get_inputs()}
    feed = {
        i.name: np.stack([x[n] for x in inputs]).astype(kinds.get(i.name, np.float32))
        for n, i in enumerate(graph.inputs)
    }
    try:
        answers = session.run([o.name for o in graph.outputs], feed)
    except Exception as e:  # the runtime has one class for each status, all plain exceptions
        raise DataError(f"ONNX Runtime cannot run it ({' '.join(str(e).split())[:200]})") from None
    return [
        Case(
            inputs=x,
            outputs=[
                np.asarray(y[n if len(y) == len(inputs) else 0], np.float32).reshape(o.shape)
                for y, o in zip(answers, graph.outputs, strict=True)
            ],
            image=image,
        )
        for n, (x, image) in enumerate(zip(inputs, images, strict=True))
    ]


def _in_float64(graph: Graph, case: Case) -> Case:
    """The case answered in float64; ONNX Runtime's answer must be near. Raises DataError."""
    feed = {i.name: x[None] for i, x in zip(graph.inputs, case.inputs, strict=True)}
    exact = reference.run(graph, feed)
    found = []
    for o, near in zip(graph.outputs, case.outputs, strict=True):
        y = exact[o.name][0].reshape(o.shape).astype(np.float32)
        apart, most = float(np.abs(y - near).max()), float(max(np.abs(y).max(), SMALL))
        if not apart <= TOLERANCE["f32"] * most:
            raise DataError(
                f"the file is read differently here and by ONNX Runtime: output {o.name!r} differs "
                f"by {apart:.2g}; please report the file"
            )
        found.append(y)
    return replace(case, outputs=found)
