"""`pocketvision compile`: a bundle or an .onnx file as a C library, built and proven equal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pocketvision.cli.options import Json, Overwrite
from pocketvision.cli.out import Output, mebibytes, millions
from pocketvision.cli.records import note_export
from pocketvision.errors import UsageError

if TYPE_CHECKING:
    from pocketvision.export.compile import Compiled

Build = Annotated[bool, Parameter(negative="--no-build")]
Winograd = Annotated[bool, Parameter(negative="--no-winograd")]


def compile_model(
    model: Path,
    /,
    *,
    target: str = "native",
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    name: str | None = None,
    threads: int = 1,
    input_shape: tuple[str, ...] = (),
    compiler: str | None = None,
    build: Build = True,
    winograd: Winograd = True,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Compile a bundle or an .onnx file to a C library that needs nothing but libc and libm.

    The folder holds the sources, weights, a test and an example; the library is built, tested and
    compared with the original. Where it answers otherwise nothing is written, exit code 4.

    Parameters
    ----------
    model: Path
        A bundle, or an .onnx file.
    target: str
        native (this processor), x86-64-v4 (AVX-512), x86-64-v3 (AVX2), aarch64, wasm32, or c99
        (any machine, no vectors).
    output: Path
        The folder to make; by default next to the model.
    name: str
        What the library's functions begin with; by default from the model.
    threads: int
        Threads of the example program.
    input_shape: str
        Shape of an input that the .onnx file leaves open, such as x=1,3,48,192; can be repeated.
    compiler: str
        The C compiler to call; by default $CC, or the first that is found.
    build: bool
        Build the library and prove it equal; --no-build writes the sources only.
    winograd: bool
        Do 3x3 convolutions by Winograd's tiles where that is faster, with weights up to 4 times
        as large; --no-winograd keeps them small.
    """
    from pocketvision.export import compile as compiling
    from pocketvision.export.compile import Options

    options = Options(
        target=target,
        name=name,
        threads=threads,
        input_shapes=_shapes(input_shape),
        compiler=compiler or _own_compiler(target),
        build=build,
        winograd=winograd,
    )
    out = Output(json=json)
    folder = output or model.parent / (f"{model.stem}_c" if model.is_file() else "compiled")
    made = compiling.make(
        model, folder, options, overwrite=overwrite, on_step=lambda step: out.say(f"{step} ...")
    )
    _say(out, made)
    if made.parity is not None:
        note_export(made.path, _record(made))
    out.result(_as_json(made))
    _next(out, model, made)


def _shapes(texts: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """{"x": (1, 3, 48, 192)} from ("x=1,3,48,192",). Raises UsageError."""
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, _, numbers = text.rpartition("=")
        try:
            shapes[name] = tuple(int(n) for n in numbers.split(","))
        except ValueError:
            name = ""
        if not name:
            raise UsageError(f"--input-shape must be like x=1,3,48,192, got {text!r}")
    return shapes


def _own_compiler(target: str) -> str | None:
    """$CC, where it may be meant for the target: not where another machine's code is wanted."""
    words = os.environ.get("CC", "").split()
    if len(words) != 1 or target in ("aarch64", "wasm32"):
        return None
    return words[0]


def _say(out: Output, made: Compiled) -> None:
    """What was made, in a small table, and the proof."""
    net, p = made.network, made.network.program
    counts = (1, 2) if net.target.threads else (1,)
    rows = [{"what": f"memory, {n} thread{'s' * (n > 1)}", "size": _size(p.arena_bytes(n))}
            for n in counts]  # fmt: skip
    rows += [
        {"what": "the same, layer by layer", "size": _size(net.layer_by_layer_bytes)},
        {"what": "weights", "size": _size(p.weights.nbytes)},
    ]
    if made.library_bytes is not None:
        rows.append({"what": "library", "size": _size(made.library_bytes)})
    out.say(
        f"\n{made.path}: {net.name} for {net.target.name}, {millions(net.macs)} multiply-adds, "
        f"in {made.seconds:.1f} s\n"
    )
    out.table(rows)
    out.say()
    if made.built is None:
        out.say("sources only: nothing was built, nothing was compared")
    elif made.built.tested is None:
        out.say(f"nothing here runs code for {net.target.name}: its test was not run")
    else:
        out.say(f"test of the library: {made.built.tested}")
    if made.parity is not None:
        q = made.parity
        out.say(
            f"proof on {q.n} inputs, {q.b} against {q.a}: largest difference {q.max_abs:.2g} "
            f"({q.max_rel:.2g} of the largest output), same first class on {q.top1_agreement:.2%}"
        )


def _size(size_bytes: int) -> str:
    return mebibytes(size_bytes) if size_bytes >= 1 << 20 else f"{size_bytes / 1024:.1f} KiB"


def _next(out: Output, model: Path, made: Compiled) -> None:
    if made.parity is None or made.network.program.inputs > 1:
        out.next("cmake", "-S", made.path, "-B", made.path / "build")
    elif model.is_dir():
        out.next("pocketvision", "bench", model, made.path)
    else:
        out.next("pocketvision", "bench", made.path)


def _record(made: Compiled) -> dict[str, object]:
    """The line of the run's exports.json."""
    p = made.parity
    assert p is not None
    return {
        "name": "compiled",
        "format": "c",
        "precision": "f32",
        "size_bytes": (made.library_bytes or 0) + made.network.program.weights.nbytes,
        "accuracy": None,
        "max_abs": p.max_abs,
        "max_rel": p.max_rel,
        "top1_agreement": p.top1_agreement,
        "n": p.n,
    }


def _as_json(made: Compiled) -> dict[str, object]:
    net, p = made.network, made.network.program
    counts = (1, 2) if net.target.threads else (1,)
    return {
        "path": made.path,
        "name": net.name,
        "target": net.target.name,
        "flags": list(net.target.flags),
        "arena_bytes": {str(n): p.arena_bytes(n) for n in counts},
        "layer_by_layer_bytes": net.layer_by_layer_bytes,
        "weights_bytes": p.weights.nbytes,
        "library_bytes": made.library_bytes,
        "macs": net.macs,
        "seconds": made.seconds,
        "compiler": made.built and made.built.compiler,
        "test": made.built and made.built.tested,
        "parity": made.parity and made.parity.row(),
        "steps": [
            {
                "band_rows": step.band,
                "macs": sum(s.macs for s in step.stages),
                "stages": [
                    {
                        "name": s.name,
                        "function": s.unit,
                        "output_hwc": s.out and [s.out.h, s.out.w, s.out.c],
                    }
                    for s in step.stages
                ],
            }
            for step in p.steps
        ],
    }
