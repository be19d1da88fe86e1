"""A network as a folder of C sources that any project can take: every file but what is built."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from pocketvision import __version__
from pocketvision.compiler import api, emit, golden
from pocketvision.compiler.api import Contract
from pocketvision.compiler.golden import Case
from pocketvision.compiler.graph import Graph, Input
from pocketvision.compiler.program import Program
from pocketvision.compiler.targets import TARGETS, Target

FORMAT = 1
METADATA = "metadata.json"
WEIGHTS = "weights.bin"
SMALL_BYTES = 256 * 1024  # up to this, weights are also given as C source
# Without errno square roots are an instruction; sums of products may be fused.
FLOAT_FLAGS = ("-fno-math-errno", "-ffp-contract=fast")
# Of model.h, beside `preprocess`.
FUNCTIONS = ("create", "create_in", "memory", "run", "destroy", "error", "input_size",
             "output_size", "input_name", "output_name", "labels", "hidden")  # fmt: skip
INPUT_LEVELS = 2.5  # of 255: resampling may round differently


@dataclass(frozen=True, kw_only=True)
class Network:
    """All that the folder is made of. `texts` are metadata of the file that it came from."""

    name: str
    graph: Graph
    program: Program
    target: Target
    cases: Sequence[Case]
    contract: Contract | None = None
    texts: Mapping[str, str]
    threads: int = 1
    layer_by_layer_bytes: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        return sum(s.macs for step in self.program.steps for s in step.stages)


def sources(net: Network) -> dict[str, bytes]:
    """Every file by its name; the same for the same network, byte for byte."""
    texts: dict[str, str | None] = {
        "model.h": _header(net),
        "model.c": emit.source(net.name, net.program, net.target)
        + api.definitions(net.graph, net.contract),
        "weights.S": _filled("weights.S", net),
        "weights.c": _weights(net),
        "README.md": _readme(net),
        METADATA: json.dumps(metadata(net), indent=1, ensure_ascii=False) + "\n",
        **_programs(net),
    }
    made = {name: text.encode() for name, text in texts.items() if text is not None}
    made[WEIGHTS] = np.ascontiguousarray(net.program.weights, "<f4").tobytes()
    made["golden.bin"] = golden.dumps(net.cases)
    return made


def _header(net: Network) -> str:
    more = api.declarations(net.graph, net.contract)
    text = emit.header(net.name, net.program, net.target)
    more = more.replace("NAME", net.name).replace("UPPER", net.name.upper())
    return text.replace("/* MORE */\n", more)


def _weights(net: Network) -> str | None:
    """weights.c, where it is small: the same numbers as C source."""
    values = net.program.weights
    if values.nbytes > SMALL_BYTES or not np.isfinite(values).all():
        return None
    rows = [", ".join(f"{v!s}f" for v in values[i : i + 8]) for i in range(0, len(values), 8)]
    return _filled("weights.c", net, NUMBERS=",\n  ".join(rows or ["0.0f"]))


def metadata(net: Network) -> dict[str, object]:
    """metadata.json: what a program that loads the library must know, and whence it came."""
    return {
        "format": FORMAT,
        "name": net.name,
        "target": net.target.name,
        "threads": net.target.threads,
        "inputs": [{"name": i.name, "shape": list(file_shape(i)), "layout": i.layout}
                   for i in net.graph.inputs],
        "outputs": [{"name": o.name, "shape": list(o.shape)} for o in net.graph.outputs],
        "weights_bytes": net.program.weights.nbytes,
        "macs": net.macs,
        "texts": dict(net.texts),
    }  # fmt: skip


def file_shape(given: Input) -> tuple[int, ...]:
    """The shape of one image's tensor in the order of the C API."""
    h, w, c = given.shape
    return {"nchw": (c, h, w), "nhwc": (h, w, c), "nc": (c,)}[given.layout]


# ----------------------------------------------------------------------------------------- programs


def _programs(net: Network) -> dict[str, str]:
    if net.target.name == "wasm32":
        command = " ".join(wasm_arguments(net))
        return {
            "CMakeLists.txt": _filled("CMakeLists_wasm.txt", net, COMMAND=command),
            "wasm_libc.h": _filled("wasm_libc.h", net),
            "wasm_libc.c": _filled("wasm_libc.c", net),
            "test.mjs": _filled(
                "test.mjs",
                net,
                N_INPUTS=net.program.inputs,
                N_OUTPUTS=net.program.outputs,
                TOLERANCE_OF_INPUTS=_input_tolerance(net),
            ),
        }
    cmake = _filled(
        "CMakeLists.txt",
        net,
        FLAGS=" ".join(_flags(net)),
        FLOAT_FLAGS=" ".join(FLOAT_FLAGS),
        THREADS="ON" if net.target.threads else "OFF",
    )
    return {"CMakeLists.txt": cmake, "test.c": _test(net), "example.c": _example(net)}


def _flags(net: Network) -> tuple[str, ...]:
    """What any compiler is told: the target's own flags, not of this very machine."""
    return TARGETS[net.target.name].flags


def _filled(file: str, net: Network, **words: object) -> str:
    """One of our files with every @word@ in it replaced, then NAME and UPPER."""
    text = files("pocketvision.compiler").joinpath("c", file).read_text(encoding="utf-8")
    if "@name@" in text:
        words |= {"name": net.name, "UPPER": net.name.upper()}
    else:
        text = text.replace("NAME", net.name).replace("UPPER", net.name.upper())
    for word, instead in sorted(words.items()):  # @name@ last: others may hold it
        text = text.replace(f"@{word}@", str(instead))
    return text


def _input_tolerance(net: Network) -> float:
    return INPUT_LEVELS / 255 / min(net.contract.preprocess.std) if net.contract else 0.0


def _test(net: Network) -> str:
    if net.contract is None:
        define, image = "", _filled("test_no_image.c", net)
    else:
        define = f"#define INPUT_TOLERANCE {_input_tolerance(net)!r}"
        image = _filled("test_image.c", net)
    return _filled("test.c", net, TEST_DEFINES=define, TEST_IMAGE=image.rstrip())


def _example(net: Network) -> str:
    names = [f"output_{i}" for i in range(net.program.outputs)]
    upper, threads = net.name.upper(), net.threads if net.target.threads else 1
    labelled = net.contract is not None and net.graph.outputs[0].name in net.contract.labels
    if not labelled or net.program.inputs > 1:
        return _filled("example_raw.c", net, THREADS=threads)
    rows = (f"static float {n}[{upper}_OUTPUT_{i}_SIZE];" for i, n in enumerate(names))
    return _filled(
        "example.c",
        net,
        THREADS=threads,
        OUTPUT_ARRAYS="\n".join(rows),
        OUTPUT_LIST=", ".join(names),
    )


def wasm_arguments(net: Network) -> list[str]:
    """What clang is told to make model.wasm, in the folder."""
    functions = [*FUNCTIONS, *(["preprocess"] if net.contract else [])]
    exports = ["malloc", "free", *(f"{net.name}_{f}" for f in functions)]
    return [
        "--target=wasm32",
        "-std=c99",
        "-O3",
        *net.target.flags,
        *FLOAT_FLAGS,
        "-DPV_WASM",
        "-ffreestanding",
        "-nostdlib",
        "-Wl,--no-entry",
        *(f"-Wl,--export={e}" for e in exports),
        "-o",
        "model.wasm",
        "model.c",
        "wasm_libc.c",
    ]


# ------------------------------------------------------------------------------------------- README


def _readme(net: Network) -> str:
    wasm = net.target.name == "wasm32"
    return _filled(
        "README_wasm.md" if wasm else "README.md",
        net,
        VERSION=__version__,
        TARGET=net.target.name,
        FLAGS=" ".join((*_flags(net), *FLOAT_FLAGS)),
        FIGURES=_figures(net),
        VALUES=_values(net),
        IMAGES=IMAGES if net.contract else "",
    )


IMAGES = """
`@name@_preprocess` makes the input from a decoded RGB image of any size, as in training; decoding
JPEG or PNG is the program's own affair. `example.c` shows all of it.
"""


def _figures(net: Network) -> str:
    p, most = net.program, 2 if net.target.threads else 1
    rows = [f"| memory for {n} thread{'s' if n > 1 else ''} beside the weights | "
            f"{p.arena_bytes(n):,} bytes |" for n in range(1, most + 1)]  # fmt: skip
    rows += [
        f"| the same, one layer after the other | {net.layer_by_layer_bytes:,} bytes |",
        f"| weights | {p.weights.nbytes:,} bytes |",
        f"| multiply-accumulates of a run | {net.macs:,} |",
    ]
    return "\n".join(["| what | figure |", "| --- | --- |", *rows])


def _values(net: Network) -> str:
    rows = [("input", n, i.name, file_shape(i)) for n, i in enumerate(net.graph.inputs)]
    rows += [("output", n, o.name, o.shape) for n, o in enumerate(net.graph.outputs)]
    lines = [
        f"| {kind} {n} | {_plain(name)} | {'x'.join(map(str, shape))} |"
        for kind, n, name, shape in rows
    ]
    return "\n".join(["| what | name | floats |", "| --- | --- | --- |", *lines])


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() and c not in "|`<>\\" else "?" for c in text)[:60]
