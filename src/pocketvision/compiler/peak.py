"""The arithmetic peak of this machine, by a loop of multiply-adds: what no kernel can exceed."""

from __future__ import annotations

import ctypes
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from time import perf_counter

from pocketvision.compiler import build
from pocketvision.compiler.targets import Target
from pocketvision.errors import PocketvisionError

SUMS = 12
ROUNDS = 1_000_000


class Peak:
    """The loop, compiled for a target that runs here. Raises as `stage_times` does."""

    def __init__(self, target: Target, *, compiler: str | None = None) -> None:
        if not build.runs(target.name):
            raise PocketvisionError(f"this machine does not run code for {target.name}")
        self.lanes = target.lanes
        with tempfile.TemporaryDirectory(prefix="pocketvision-") as temporary:
            folder = Path(temporary)
            (folder / "model.c").write_text(_source(target))
            library = build.timed_library(folder, target, given=compiler)
            self._loop = ctypes.CDLL(str(library)).pv_peak
        self._loop.argtypes, self._loop.restype = [ctypes.c_long], ctypes.c_double

    def gflops(self, threads: int = 1, *, rounds: int = ROUNDS) -> float:
        """Billions of additions and multiplications a second, of so many threads together."""
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(self._loop, [rounds // 10] * threads))
            begin = perf_counter()
            list(pool.map(self._loop, [rounds] * threads))
            seconds = perf_counter() - begin
        return 2e-9 * SUMS * self.lanes * rounds * threads / seconds


def _source(target: Target) -> str:
    folder = files("pocketvision.compiler").joinpath("c")
    vector = folder.joinpath("vector.c").read_text(encoding="utf-8")
    loop = folder.joinpath("peak.c").read_text(encoding="utf-8")
    head = "\n".join(f"#include <{name}.h>" for name in ("math", "stdint", "string"))
    intrinsics = "#if defined(__AVX__)\n#include <immintrin.h>\n#elif defined(__ARM_NEON)\n"
    intrinsics += "#include <arm_neon.h>\n#endif"
    sizes = f"#define PV_LANES {target.lanes}\n#define PV_HALF {int(bool(target.half_tiles))}"
    return "\n".join([head, intrinsics, sizes, vector, loop])
