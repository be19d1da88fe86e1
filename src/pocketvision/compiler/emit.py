"""A program as C: one file of kernels, tables and an executor that goes through them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from importlib.resources import files

import numpy as np

from pocketvision.compiler.kernels import activation, depthwise, gemm, winograd
from pocketvision.compiler.kernels.depthwise import Depthwise
from pocketvision.compiler.kernels.gemm import Gemm
from pocketvision.compiler.program import Code, Panel, Program, Segment, Stage, Tensor
from pocketvision.compiler.targets import Target

MAX_THREADS = 64


def header(name: str, program: Program, target: Target | None = None) -> str:
    """model.h: the functions of a network called `name`."""
    most = MAX_THREADS if target is None or target.threads else 1
    return named("model.h", name).replace("/* SIZES */", _sizes(name, program, most))


def source(name: str, program: Program, target: Target) -> str:
    """model.c: the whole network but its weights."""
    parts = [
        named("top.c", name),
        _defines(name, program, target),
        _text("vector.c"),
        _text("types.c"),
        _kernels(program, target),
        _text("pool.c"),
        _tables(program),
        _text("executor.c"),
        *_own(program),
        _network(program),
        _text("run.c"),
        _text("start.c"),
    ]
    return "\n".join(parts)


def named(file: str, name: str) -> str:
    """A C file of ours for a network called `name`."""
    return _text(file).replace("NAME", name).replace("UPPER", name.upper())


def _text(name: str) -> str:
    return files("pocketvision.compiler").joinpath("c", name).read_text(encoding="utf-8")


def _stages(program: Program) -> list[Stage]:
    return [s for step in program.steps for s in step.stages]


def _defines(name: str, program: Program, target: Target) -> str:
    rows = [f.kernel.kernel_h for s in _stages(program) for f in s.filters]
    rows += [s.kernel_h for s in _stages(program)]
    values = {
        "PV_LANES": target.lanes,
        "PV_HALF": int(bool(target.half_tiles)),
        "PV_MAX_THREADS": MAX_THREADS if target.threads else 1,
        "PV_MAX_KERNEL": max(rows, default=1),
        "PV_MAX_STRIDE": max(s.stride_h for s in _stages(program)),
        "PV_MAX_CHAIN": max(len(step.stages) for step in program.steps),
        "PV_STAGES": sum(len(step.stages) for step in program.steps),
        "PV_STEPS": len(program.steps),
        "PV_SHARED": program.shared,
        "PV_OWN": program.own,
        "PV_PANEL": program.panel,
        "PV_WEIGHTS": program.weights.size,
        "PV_WEIGHTS_SUM": f"UINT64_C(0x{checksum(program.weights):016X})",
        "PV_INPUT_SIZES": _list(program.input_floats),
        "PV_OUTPUT_SIZES": _list(program.output_floats),
        "PV_INPUTS": program.inputs,
        "PV_OUTPUTS": program.outputs,
    }
    lines = [f"#define {key} {value}" for key, value in values.items()]
    if target.threads:
        lines += ["#ifdef PV_MAY_THREAD", "#define PV_THREADS 1", "#endif"]
    lines.append(f"#define PV_NAME(x) {name}_##x")
    return "\n".join(lines) + "\n"


def checksum(weights: np.ndarray) -> int:
    """What the C code computes of its weights, to refuse any others."""
    words = np.ascontiguousarray(weights, "<f4").view("<u4").astype(np.uint64)
    place = np.arange(1, len(words) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (words ^ place) * np.uint64(0xFF51AFD7ED558CCD)
    return int((mixed ^ (mixed >> np.uint64(32))).sum(dtype=np.uint64))


def _list(numbers: Sequence[int]) -> str:
    return "{" + ", ".join(map(str, numbers)) + "}"


def _sizes(name: str, program: Program, most_threads: int) -> str:
    """The constants of model.h."""
    rows = {
        "INPUTS": program.inputs,
        "OUTPUTS": program.outputs,
        "MAX_THREADS": most_threads,
        "WEIGHTS_BYTES": program.weights.nbytes,
        **{f"INPUT_{i}_SIZE": n for i, n in enumerate(program.input_floats)},
        **{f"OUTPUT_{i}_SIZE": n for i, n in enumerate(program.output_floats)},
    }
    body = ",\n".join(f"  {name.upper()}_{key} = {value}" for key, value in rows.items())
    return f"enum {{ /* sizes are in floats */\n{body}\n}};"


def _kernels(program: Program, target: Target) -> str:
    gemms: set[Gemm] = set()
    filters: set[Depthwise] = set()
    for s in _stages(program):
        for p in s.panels:
            gemms |= {k for k in (p.main, p.last) if k is not None}
        filters |= {f.kernel for f in s.filters}
    kinds = {k.act for k in gemms} | {k.act for k in filters} | {"none"}
    kinds |= {dict(c.words)["ACT"] for c in _codes(program) if "ACT" in dict(c.words)}
    transforms = {s.transform for s in _stages(program) if s.transform is not None}
    kinds |= {k.act for k in transforms}
    texts = [activation.functions(kinds, bool(target.half_tiles))]
    texts += [gemm.source(k, target.lanes) for k in sorted(gemms)]
    texts += [depthwise.source(k, target.lanes) for k in sorted(filters)]
    texts += [winograd.source(k, target.lanes) for k in sorted(transforms)]
    return "\n\n".join(texts) + "\n"


def _own(program: Program) -> Iterable[str]:
    """The functions of stages that have code of their own, each once."""
    codes = sorted(_codes(program))
    if codes:
        yield _text("share.c")
    for code in codes:
        text = _text(code.file)
        for word, instead in code.words:
            text = text.replace(word, instead)
        yield text


def _codes(program: Program) -> set[Code]:
    return {s.code for s in _stages(program) if s.code is not None}


# ------------------------------------------------------------------------------------------- tables


class _Tables:
    """Numbers of everything that a stage refers to."""

    def __init__(self, program: Program) -> None:
        self.tensors = {id(t): n for n, t in enumerate(program.tensors)}
        self.segments: list[str] = []
        self.at: dict[tuple[str, ...], int] = {}
        self.panels: list[str] = []
        self.filters: list[str] = []
        self.numbers: list[int] = []
        self.stages = [self.stage(s) for s in _stages(program)]

    def tensor(self, t: Tensor | None) -> int:
        """The number of a tensor, -1 for none."""
        return -1 if t is None else self.tensors[id(t)]

    def segment(self, inp: Tensor, segments: tuple[Segment, ...]) -> int:
        """Where these segments begin; equal lists are kept once."""
        rows = tuple(f"{{{s.row}, {s.block * inp.plane + s.at}, {s.count}}}" for s in segments)
        if rows not in self.at:
            self.at[rows] = len(self.segments)
            self.segments += rows
        return self.at[rows]

    def panel(self, inp: Tensor, p: Panel) -> str:
        """A line of pv_panels."""
        last = p.last or p.main
        count = sum(s.count for s in p.segments)
        return (
            f"{{{p.b}, {p.width}, {count}, {p.channel // 16}, {p.channel % 16}, "
            f"{self.segment(inp, p.segments)}, {len(p.segments)}, {p.main_tiles}, {p.main.rows}, "
            f"{p.last_tiles}, {last.rows}, {p.main.name}, {last.name}}}"
        )

    def stage(self, s: Stage) -> str:
        """A line of pv_stages."""
        first, count = s.first, len(s.panels) or len(s.filters)
        if s.panels:
            assert s.inp is not None
            inp = s.source or s.inp
            first = len(self.panels)
            self.panels += [self.panel(inp, p) for p in s.panels]
        elif s.filters:
            first = len(self.filters)
            self.filters += [
                f"{{{f.w}, {f.kernel.name}, {f.kernel.kernel_h}, {f.pad_top}, {f.x}}}"
                for f in s.filters
            ]
        more = len(self.numbers)
        self.numbers += s.numbers
        tensors = ", ".join(str(self.tensor(t)) for t in (s.inp, s.out, s.res, s.gate, s.sum))
        return (
            f"{{{s.rows or 'NULL'}, {s.unit}, {s.units}, {tensors}, {s.kernel_h}, {s.stride_h}, "
            f"{s.dilation_h}, {s.pad_top}, {s.x}, {s.step}, {first}, {count}, {int(s.whole)}, "
            f"{s.chunks}, {s.tiles}, {more}, {len(s.numbers)}, {_float(s.alpha)}, "
            f"{_float(s.beta)}}} /* {_comment(s.name)} */"
        )


def _comment(text: str) -> str:
    """Text that cannot end a C comment, nor carry a line or anything but plain characters."""
    kept = "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
    return kept.replace("*/", "* /").replace("/*", "/ *").replace("\\", "/")[:60]


def _float(x: float) -> str:
    if math.isinf(x):
        return "INFINITY" if x > 0 else "-INFINITY"
    return f"{x!r}f" if "e" in repr(x) or "." in repr(x) else f"{x!r}.0f"


def _tables(program: Program) -> str:
    """Tensors and what stages are made of; the stages themselves come after their functions."""
    t = _Tables(program)
    tensors = [
        f"{{{x.at}, {int(x.local)}, {x.plane}, {x.row}, {x.kept}, {x.left}, {x.right}, "
        f"{int(x.zeros)}, {x.h}, {x.w}, {x.c}, {x.pixel}}}"
        for x in program.tensors
    ]
    return "\n".join(
        [
            _table("pv_tensor", "pv_tensors", tensors),
            _table("pv_segment", "pv_segments", t.segments or ["{0, 0, 0}"]),
            _table("pv_panel", "pv_panels", t.panels or ["{0}"]),
            _table("pv_filter", "pv_filters", t.filters or ["{0}"]),
            _table("PV_UNUSED int32_t", "pv_numbers", [str(n) for n in t.numbers] or ["0"]),
        ]
    )


def _network(program: Program) -> str:
    """The stages and steps."""
    first, steps = 0, []
    for step in program.steps:
        steps.append(f"{{{first}, {len(step.stages)}, {step.band}}}")
        first += len(step.stages)
    t = _Tables(program)
    return _table("pv_stage", "pv_stages", t.stages) + _table("pv_step", "pv_steps", steps)


def _table(kind: str, name: str, rows: list[str]) -> str:
    body = ",\n".join(f"  {row}" for row in rows)
    return f"static const {kind} {name}[] = {{\n{body}\n}};\n"
