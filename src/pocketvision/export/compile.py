"""Compile a bundle or an .onnx file into a folder of C: planned, built, tested and proven equal.

model.c, model.h, weights.bin    the network, for any C project; README.md says how
test.c, golden.bin               the answers that it must give; example.c, CMakeLists.txt
lib<name>.so                     built for the target, where a compiler was there
metadata.json, preprocess.json, labels.json, labels.txt, decision.json, golden.safetensors,
parity.json, manifest.json       as in every exported folder
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from pocketvision.compiler import api, build, plan, stagetimes
from pocketvision.compiler.build import Built
from pocketvision.compiler.project import Network, sources
from pocketvision.errors import ParityError, UsageError
from pocketvision.export import artifact, compiled
from pocketvision.export.artifact import Check
from pocketvision.export.origin import Origin, origin_of
from pocketvision.export.parity import TOLERANCE, Parity, figures
from pocketvision.files import check_free, new_folder

if TYPE_CHECKING:
    from pocketvision.compiler.targets import Target
    from pocketvision.export.runtime import FileRuntime

Step = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to compile. `compiler` None: the first of the target's that is here. Without `winograd`
    3x3 convolutions are done directly: slower, but their weights stay as small as they are.
    """

    target: str = "native"
    name: str | None = None
    threads: int = 1
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    compiler: str | None = None
    build: bool = True
    winograd: bool = True

    def __post_init__(self) -> None:
        if self.name is not None:
            api.checked_name(self.name)
        if not 1 <= self.threads <= 64:
            raise UsageError(f"threads must be from 1 to 64, got {self.threads}")


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A finished folder. `parity` is None where the library cannot run in this process."""

    path: Path
    network: Network
    built: Built | None
    parity: Parity | None
    library_bytes: int | None
    seconds: float


def make(
    source: str | Path,
    folder: str | Path,
    options: Options | None = None,
    *,
    overwrite: bool = False,
    check: Check | None = None,
    on_step: Step | None = None,
) -> Compiled:
    """Compile `source`, a bundle or an .onnx file, into `folder`, all or nothing.

    Raises ParityError where the library answers otherwise (nothing is left behind), OutputExists,
    MissingRuntime without a compiler, DataError for an operator that is not supported.
    """
    started, path, o = perf_counter(), Path(folder), options or Options()
    tell = on_step or (lambda _: None)
    target = build.chosen(o.target)
    check_free(path, overwrite=overwrite)
    if o.build:  # before the long part
        build.compiler(target, o.compiler)
    tell(f"reading {source}")
    origin = origin_of(Path(source), o.input_shapes)
    tell("planning")
    algorithms = _algorithms(o, origin, target, tell)
    how = plan.Options(winograd=o.winograd, algorithms=algorithms)
    program = plan.plan(origin.graph, target, how)
    whole = plan.plan(origin.graph, target, plan.Options(fuse=False))
    network = Network(
        name=o.name or api.name_of(origin.name),
        graph=origin.graph,
        program=program,
        target=target,
        cases=origin.cases,
        contract=origin.contract,
        texts=origin.texts,
        threads=o.threads,
        layer_by_layer_bytes=whole.arena_bytes(),
    )
    with new_folder(path, overwrite=overwrite) as temporary:
        files = sources(network)
        for name, data in files.items():
            (temporary / name).write_bytes(data)
        built, parity = None, None
        if o.build:
            tell(f"compiling for {target.name}")
            built = build.build(temporary, network, given=o.compiler)
            parity = _proven(temporary / built.library, origin, network, check or Check(), tell)
        _write_sidecars(temporary, origin, parity)
        size = None if built is None else (temporary / built.library).stat().st_size
        _write_manifest(temporary, origin, network, built, editable=set(files) - KEPT)
    return Compiled(
        path=path,
        network=network,
        built=built,
        parity=parity,
        library_bytes=size,
        seconds=perf_counter() - started,
    )


def _algorithms(o: Options, origin: Origin, target: Target, tell: Step) -> Mapping[str, str]:
    """How 3x3 convolutions are done: measured for this very machine, by a table elsewhere."""
    if not o.winograd or o.target != "native" or not o.build or not build.runs(target.name):
        return {}
    if stagetimes.choices(origin.graph):
        tell("timing three ways to do its 3x3 convolutions")
    return stagetimes.fastest(origin.graph, target, compiler=o.compiler)


KEPT = {"metadata.json", "weights.bin", "golden.bin"}


# -------------------------------------------------------------------------------------------- proof


def _proven(
    library: Path, origin: Origin, network: Network, check: Check, tell: Step
) -> Parity | None:
    """The library in this process against the original. Raises ParityError over tolerance."""
    if not build.runs(network.target.name):
        return None
    tell("comparing with the original")
    if origin.bundle is not None:
        # A bundle's texts always hold the metadata.
        loaded = cast("FileRuntime", compiled.load(library, threads=1))
        return artifact.proven(origin.bundle, loaded, check=check)
    from pocketvision.compiler import runtime

    opened = runtime.load(library)
    names = [f"{i}" for i in range(len(opened.outputs))]
    answers = [opened.run(case.inputs) for case in origin.cases]
    y_a = {n: _stacked([c.outputs[i] for c in origin.cases]) for i, n in enumerate(names)}
    y_b = {n: _stacked([y[i] for y in answers]) for i, n in enumerate(names)}
    parity = Parity(a=origin.reference, b="compiled f32", **figures(y_a, y_b))
    tolerance = TOLERANCE["f32"] if check.tolerance is None else check.tolerance
    if not parity.max_rel <= tolerance:
        raise ParityError(
            f"the compiled library does not answer like {origin.reference}: largest difference "
            f"{parity.max_abs:.3g}, {parity.max_rel:.2g} of the largest output (allowed "
            f"{tolerance:.2g}), on {parity.n} inputs; nothing was written"
        )
    return parity


def _stacked(rows: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack([row.reshape(-1) for row in rows])


# -------------------------------------------------------------------------------------------- files


def _write_sidecars(folder: Path, origin: Origin, parity: Parity | None) -> None:
    if origin.contract is not None:
        golden = origin.bundle.golden if origin.bundle else _golden(origin)
        contract = origin.contract
        inside = compiled.metadata_of(origin.texts, origin.name)
        artifact.sidecars(
            folder,
            contract.preprocess,
            contract.labels,
            golden,
            decision=inside.decision if inside else {},
        )
    if parity is not None:
        proof = artifact.proof_row(parity, TOLERANCE["f32"])
        (folder / "parity.json").write_text(artifact.as_json(proof), encoding="utf-8")


def _golden(origin: Origin) -> dict[str, torch.Tensor]:
    """The cases as other artifacts keep them."""
    made = {f"image.{i}": c.image for i, c in enumerate(origin.cases) if c.image is not None}
    made["input"] = np.stack([c.inputs[0] for c in origin.cases])
    for n, o in enumerate(origin.graph.outputs):
        made[f"output.{o.name}"] = np.stack([c.outputs[n] for c in origin.cases])
    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in made.items()}


def _write_manifest(
    folder: Path, origin: Origin, network: Network, built: Built | None, editable: set[str]
) -> None:
    model = built.library if built else "model.c"
    made = {
        "backend": compiled.RUNTIME,
        "runtime": compiled.RUNTIME,
        "precision": "f32",
        "model": model,
        "target": network.target.name,
        "flags": list(network.target.flags),
        "compiler": built.compiler if built else None,
        "size_bytes": (folder / model).stat().st_size + network.program.weights.nbytes,
    }
    source = artifact.source_of(origin.bundle) if origin.bundle else {"file": f"{origin.name}.onnx"}
    artifact.write_manifest(folder, made, source, editable=editable - {model})
