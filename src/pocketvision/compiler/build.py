"""Call the C compiler: find it, compile a folder of sources, run its test, say what went wrong."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pocketvision.compiler.project import FLOAT_FLAGS, Network, wasm_arguments
from pocketvision.compiler.targets import TARGETS, Target, target
from pocketvision.errors import MissingRuntime, ParityError, PocketvisionError, UsageError

COMPILE_S, TEST_S = 1200, 600
# The Debian packages that bring each compiler.
PACKAGES = {"aarch64": "gcc-aarch64-linux-gnu", "wasm32": "clang lld"}
RUNNERS = {"aarch64": "qemu-user", "wasm32": "nodejs"}
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic")
# What a processor must say it has, in the words of Linux.
V3 = {"avx2", "fma", "bmi1", "bmi2", "f16c", "movbe", "abm"}
V4 = V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}


@dataclass(frozen=True, kw_only=True)
class Built:
    """What was built in a folder: the library's file name, who built it, what its test said."""

    library: str
    compiler: str
    tested: str | None  # None: nothing here can run it


def chosen(name: str) -> Target:
    """The target of that name; `native` is the best that this machine runs. Raises UsageError."""
    return here(native()) if name == "native" else here(target(name))


def native() -> Target:
    """The target of this processor, compiled for this very one."""
    best = next((n for n in ("x86-64-v4", "x86-64-v3", "aarch64") if runs(n)), "c99")
    found = TARGETS[best]
    if best == "c99":
        return found
    flags = ["-march=native" if f.startswith("-march=") else f for f in found.flags]
    return replace(found, flags=tuple(flags))


def runs(name: str) -> bool:
    """True where this machine runs code of the target itself, without a runner."""
    machine = platform.machine().lower()
    if name == "aarch64":
        return machine in ("aarch64", "arm64")
    if name in ("x86-64-v3", "x86-64-v4"):
        return machine in ("x86_64", "amd64") and (V4 if name == "x86-64-v4" else V3) <= _flags()
    return name == "c99"


def _flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    hit = re.search(r"^flags\s*:\s*(.+)$", text, re.MULTILINE)
    return set(hit.group(1).split()) if hit else set()


def here(wanted: Target) -> Target:
    """The target with this machine's own compilers and no runner, where it runs here."""
    if wanted.name == "aarch64" and runs("aarch64"):
        return replace(wanted, compilers=("gcc", "clang", "cc"), runner=())
    return wanted


def library_name(name: str, wanted: Target) -> str:
    """File name of what is built."""
    if wanted.name == "wasm32":
        return "model.wasm"
    return f"lib{name}.dylib" if platform.system() == "Darwin" else f"lib{name}.so"


# ------------------------------------------------------------------------------------------ finding


def compiler(wanted: Target, given: str | None = None) -> str:
    """The compiler to call. Raises MissingRuntime that names the package to install."""
    if given is not None:
        if shutil.which(given) is None:
            raise MissingRuntime(
                f"the compiler {given!r} is not here: give another --compiler, or leave it out"
            )
        return given
    found = next((c for c in wanted.compilers if shutil.which(c)), None)
    package = PACKAGES.get(wanted.name, "gcc")
    if found is None:
        raise MissingRuntime(
            f"no C compiler for {wanted.name} (looked for {', '.join(wanted.compilers)}): "
            f"apt-get install {package}; or --no-build writes the sources only"
        )
    if wanted.name == "wasm32" and not shutil.which("wasm-ld"):
        raise MissingRuntime(f"wasm-ld is not installed: apt-get install {package}")
    return found


def runner(wanted: Target) -> tuple[str, ...] | None:
    """The command before a program of the target; None where nothing here runs one."""
    if not wanted.runner:
        return () if runs(wanted.name) else None
    return wanted.runner if shutil.which(wanted.runner[0]) else None


# ----------------------------------------------------------------------------------------- building


def build(folder: Path, net: Network, *, given: str | None = None) -> Built:
    """Compile the sources in `folder` to its library and run its test, where something can.

    Raises MissingRuntime, ParityError where the test fails, PocketvisionError where the compiler
    does, with its first error.
    """
    cc = compiler(net.target, given)
    library = library_name(net.name, net.target)
    if net.target.name == "wasm32":
        _compile([cc, *wasm_arguments(net)], folder)
        return Built(library=library, compiler=_version(cc), tested=_wasm_tested(folder, net))
    with tempfile.TemporaryDirectory(prefix="pocketvision-") as temporary:
        made = Path(temporary)
        flags = ["-std=c99", "-O3", *net.target.flags, *FLOAT_FLAGS]
        threads = ["-pthread"] if net.target.threads else []
        _compile([cc, *flags, "-fPIC", "-c", "-o", str(made / "model.o"), "model.c"], folder)
        _compile([cc, "-shared", "-o", library, str(made / "model.o"), "-lm", *threads], folder)
        program = str(made / "test")
        parts = ["test.c", str(made / "model.o")]
        _compile([cc, "-std=c99", "-O1", "-I.", "-o", program, *parts, "-lm", *threads], folder)
        return Built(library=library, compiler=_version(cc), tested=_tested(program, folder, net))


def timed_library(folder: Path, wanted: Target, *, given: str | None = None) -> Path:
    """Compile model.c in `folder` with a clock around its stages; the library's path."""
    cc, library = compiler(wanted, given), folder / "timed.so"
    flags = ["-std=c99", "-O3", *wanted.flags, *FLOAT_FLAGS, "-D_POSIX_C_SOURCE=200809L"]
    link = ["-fPIC", "-shared", "-DPV_PROFILE", "-lm", *(["-pthread"] if wanted.threads else [])]
    _compile([cc, *flags, "-o", str(library), "model.c", *link], folder)
    return library


def _tested(program: str, folder: Path, net: Network) -> str | None:
    before = runner(net.target)
    if before is None:
        return None
    counts = (1, 2) if net.target.threads else (1,)
    said = [_run([*before, program, "weights.bin", "golden.bin", str(n)], folder) for n in counts]
    return said[0]


def _wasm_tested(folder: Path, net: Network) -> str | None:
    before = runner(net.target)
    return None if before is None else _run([*before, "test.mjs"], folder)


def _run(command: Sequence[str], folder: Path) -> str:
    """The last line of a test. Raises ParityError where it fails."""
    done = _called(command, folder, TEST_S, "the test of the library")
    last = (done.stdout + done.stderr).strip().splitlines() or ["it said nothing"]
    if done.returncode != 0:
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"code {done.returncode}"
        raise ParityError(
            f"the compiled library does not pass its test ({how}): {last[-1]}; nothing was written"
        )
    return last[-1]


def _compile(command: Sequence[str], folder: Path) -> None:
    done = _called(command, folder, COMPILE_S, command[0])
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        first = next((line for line in lines if re.search(r"\berror\b", line)), None)
        shown = first or (lines[-1] if lines else f"exit code {done.returncode}")
        raise PocketvisionError(f"{command[0]} failed: {shown[:300]}")


def _called(
    command: Sequence[str], folder: Path, limit_s: int, what: str
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=limit_s
        )
    except subprocess.TimeoutExpired:
        raise PocketvisionError(f"{what} was not done within {limit_s} s") from None
    except OSError as e:
        raise UsageError(f"cannot start {command[0]}: {e.strerror}") from None


def _version(cc: str) -> str:
    """The first line of what the compiler says of itself."""
    done = _called([cc, "--version"], Path(), 60, cc)
    return (done.stdout.strip().splitlines() or [cc])[0]
