"""`pocketvision doctor`: what this machine has, what is missing, and the line that installs it."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from pocketvision import __version__
from pocketvision.bench.host import host, usable_cores, versions
from pocketvision.cli.options import Json
from pocketvision.cli.out import Output


class Part(NamedTuple):
    """A package, the extra that brings it (None: always needed), and what it is for."""

    package: str
    extra: str | None
    purpose: str


PARTS = (
    Part("torch", None, "training, and the original that exports are held to"),
    Part("numpy", None, "everything"),
    Part("pillow", None, "images other than JPEG"),
    Part("simplejpeg", None, "JPEG images"),
    Part("safetensors", None, "weights"),
    Part("onnx", None, "export to ONNX"),
    Part("onnxscript", None, "export to ONNX"),
    Part("onnxruntime", None, "running ONNX files"),
    Part("openvino", "openvino", "export to OpenVINO, and running it"),
    Part("matplotlib", "plots", "plots as picture files"),
    Part("scikit-learn", "demo", "the built-in digits"),
)


class Tool(NamedTuple):
    """A program that `compile` may call, the Debian package that brings it, and what it is for."""

    program: str
    package: str
    purpose: str


TOOLS = (
    Tool("gcc", "gcc", "compile"),
    Tool("cmake", "cmake", "building a compiled folder the usual way"),
    Tool("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu", "compile --target aarch64"),
    Tool("qemu-aarch64", "qemu-user", "testing aarch64 here"),
    Tool("clang", "clang", "compile --target wasm32"),
    Tool("wasm-ld", "lld", "compile --target wasm32"),
    Tool("node", "nodejs", "testing wasm32"),
)


def doctor(*, json: Json = False) -> int:
    """Check packages, compilers, processor and folders. Exit code 1 where what is needed lacks."""
    from pocketvision.data.cache import cache_folder

    out = Output(json=json)
    machine = host(environment=os.environ)
    cpu = machine["cpu"]
    assert isinstance(cpu, dict)
    rows = [_row(part) for part in PARTS]
    out.say(
        f"pocketvision {__version__}, Python {machine['python']}\n"
        f"{cpu['model']}, {usable_cores()} usable cores, flags {' '.join(cpu['flags']) or 'none'}\n"
    )
    out.table(rows)
    tools = [_tool_row(tool) for tool in TOOLS]
    out.say()
    out.table(tools)
    folders = {"cache": cache_folder(os.environ), "runs": Path("runs")}
    states = {name: _writable(path) for name, path in folders.items()}
    out.say()
    for name, path in folders.items():
        out.say(f"{name} folder {path}: {states[name]}")
    broken = [r for r in rows if r["installed"] is None and r["extra"] is None]
    ok = not broken and all(state == "writable" for state in states.values())
    out.say("\nall that is needed is here" if ok else "\nsomething needed is missing, see above")
    out.result({"ok": ok, "version": __version__, "host": machine, "packages": rows,
                "tools": tools, "folders": states})  # fmt: skip
    out.next("pocketvision", "train", "digits", "--time", "1m")
    return 0 if ok else 1


def _row(part: Part) -> dict[str, object]:
    found = versions((part.package,))[part.package]
    line = f"pip install 'pocketvision[{part.extra}]'" if part.extra else "pip install pocketvision"
    return {
        "package": part.package,
        "installed": found,
        "extra": part.extra,
        "for": part.purpose,
        "get it with": "" if found else line,
    }


def _tool_row(tool: Tool) -> dict[str, object]:
    found = shutil.which(tool.program)
    return {
        "program": tool.program,
        "found": "yes" if found else "no",
        "for": tool.purpose,
        "get it with": "" if found else f"apt-get install {tool.package}",
    }


def _writable(path: Path) -> str:
    """`writable`, or why not; tried in the nearest folder that exists."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            return "writable"
    except OSError as e:
        return f"not writable ({e.strerror})"
