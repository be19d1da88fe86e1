"""The host record: read from a known /proc/cpuinfo, fit for JSON, silent about its owner."""

from __future__ import annotations

import getpass
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from pocketvision.bench import host as room
from pocketvision.bench.host import cpu, host, versions

CPUINFO = """processor\t: 0
model name\t: Example CPU 3000
physical id\t: 0
core id\t\t: 0
flags\t\t: fpu sse avx2 fma avx512f avx512_bf16 amx_tile hypervisor

processor\t: 1
model name\t: Example CPU 3000
physical id\t: 0
core id\t\t: 0
flags\t\t: fpu sse avx2 fma avx512f avx512_bf16 amx_tile hypervisor

processor\t: 2
model name\t: Example CPU 3000
physical id\t: 0
core id\t\t: 1
flags\t\t: fpu sse avx2 fma avx512f avx512_bf16 amx_tile hypervisor
"""

ARM = "processor : 0\nFeatures : fp asimd aes asimddp i8mm bf16\n"


def words(value) -> list[str]:
    if isinstance(value, dict):
        return [w for pair in value.items() for v in pair for w in words(v)]
    if isinstance(value, list):
        return [w for v in value for w in words(v)]
    return [value] if isinstance(value, str) else []


def test_cpuinfo_of_x86_and_arm():
    got = cpu(CPUINFO)
    assert (got["model"], got["physical_cores"]) == ("Example CPU 3000", 2)
    assert got["flags"] == ["avx2", "fma", "avx512f", "avx512_bf16", "amx_tile"]
    assert cpu(ARM)["flags"] == ["asimd", "asimddp", "i8mm", "bf16"]


def test_unknown_system_still_answers():
    got = cpu("")
    assert got["flags"] == []
    assert got["physical_cores"] >= 1


def test_no_owner_no_path():
    environment = {**os.environ, "OMP_NUM_THREADS": "3"}
    record = host(environment=environment)
    text = json.dumps(record)
    assert str(Path.home()) not in text
    assert str(Path.cwd()) not in text
    assert platform.node() not in words(record)
    assert getpass.getuser() not in words(record)
    assert not any(w.startswith("/") for w in words(record))
    assert record["thread_variables"]["OMP_NUM_THREADS"] == "3"
    assert set(record["thread_variables"]) <= set(room.THREAD_VARIABLES)


def test_figures_are_plausible():
    record = host()
    assert 1 <= record["cpu"]["usable_cores"] <= record["cpu"]["logical_cores"]
    assert record["memory_bytes"] > 2**28
    assert record["thread_variables"] == {}


def test_versions_come_from_metadata():
    got = versions(("numpy", "no-such-package-here"))
    assert got["no-such-package-here"] is None
    import numpy

    assert got["numpy"] == numpy.__version__


def test_nothing_heavy_is_imported():
    code = (
        "import sys; from pocketvision.bench import clock, host, report; host.host();"
        "print([m for m in ('torch', 'numpy', 'onnxruntime', 'openvino') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
