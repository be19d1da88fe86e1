"""What machine a figure was measured on: enough to compare figures, nothing that names its owner.

No host name, no user name and no path is collected. Standard library only; package versions are
read from their metadata, so nothing heavy is imported.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

PACKAGES = ("torch", "onnxruntime", "openvino", "onnx", "numpy", "pillow", "simplejpeg")

# What decides which kernels a runtime picks; the spellings of /proc/cpuinfo on x86 and Arm.
FLAGS = (
    "avx2",
    "fma",
    "avx512f",
    "avx512_bf16",
    "avx512_vnni",
    "avx_vnni",
    "avx512_fp16",
    "amx_tile",
    "amx_int8",
    "amx_bf16",
    "neon",
    "asimd",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
)

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "OMP_PROC_BIND",
    "KMP_AFFINITY",
    "KMP_BLOCKTIME",
)


def host(*, environment: Mapping[str, str] | None = None) -> dict[str, object]:
    """The machine now: processor, memory, system, versions, load; every value fits in JSON.

    `environment` is searched for the variables that set threads (the caller passes `os.environ`).
    """
    return {
        "cpu": cpu(_text("/proc/cpuinfo")),
        "memory_bytes": _memory_bytes(),
        "system": {"name": platform.system(), "release": platform.release()},
        "python": platform.python_version(),
        "packages": versions(PACKAGES),
        "load_average": _load_average(),
        "thread_variables": _chosen(environment or {}, THREAD_VARIABLES),
    }


def cpu(cpuinfo: str) -> dict[str, object]:
    """Model, cores and flags from the text of /proc/cpuinfo, or what Python knows without it."""
    logical = os.cpu_count() or 1
    return {
        "model": _field(cpuinfo, "model name") or platform.processor() or "unknown",
        "architecture": platform.machine(),
        "logical_cores": logical,
        "physical_cores": _physical_cores(cpuinfo) or logical,
        "usable_cores": usable_cores(),
        "flags": _flags(cpuinfo),
    }


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def versions(packages: tuple[str, ...]) -> dict[str, str | None]:
    """Installed version of each package, None where it is missing; nothing is imported."""
    found: dict[str, str | None] = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _field(cpuinfo: str, name: str) -> str | None:
    hit = re.search(rf"^{name}\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return hit.group(1).strip() if hit else None


def _physical_cores(cpuinfo: str) -> int:
    cores = set()
    for entry in cpuinfo.split("\n\n"):
        core = _field(entry, "core id")
        if core is not None:
            cores.add((_field(entry, "physical id"), core))
    return len(cores)


def _flags(cpuinfo: str) -> list[str]:
    line = _field(cpuinfo, "flags") or _field(cpuinfo, "Features") or ""
    return _present(set(line.split()))


def _present(words: set[str]) -> list[str]:
    return [flag for flag in FLAGS if flag in words]


def _memory_bytes() -> int | None:
    if not hasattr(os, "sysconf"):
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _load_average() -> list[float] | None:
    return [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None


def _chosen(environment: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    return {name: environment[name] for name in names if name in environment}
