"""`pocketvision doctor`: what this machine has, what is missing, and the line that installs it."""

from __future__ import annotations

import os
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


def doctor(*, json: Json = False) -> int:
    """Check the installation: packages, processor, folders. Exit code 1 where one is missing."""
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
    folders = {"cache": cache_folder(os.environ), "runs": Path("runs")}
    states = {name: _writable(path) for name, path in folders.items()}
    out.say()
    for name, path in folders.items():
        out.say(f"{name} folder {path}: {states[name]}")
    broken = [r for r in rows if r["installed"] is None and r["extra"] is None]
    ok = not broken and all(state == "writable" for state in states.values())
    out.say("\nall that is needed is here" if ok else "\nsomething needed is missing, see above")
    out.result({"ok": ok, "version": __version__, "host": machine, "packages": rows,
                "folders": states})  # fmt: skip
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
