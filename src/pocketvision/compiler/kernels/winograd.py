"""The transforms of Winograd convolution as C; their mathematics is in analysis.winograd.

Inputs become (m + 2)^2 positions a tile, each position is a matrix product over channels, and sums
become m^2 outputs a tile, with bias, residual and activation on the way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pocketvision.analysis.winograd import MATRICES


@dataclass(frozen=True, order=True)
class Winograd:
    """The transforms of one m, with what is done to outputs on their way to memory."""

    m: int
    act: str
    residual: bool

    @property
    def name(self) -> str:
        """The ending of its C functions' names."""
        return f"{self.m}_{self.act}{'_add' if self.residual else ''}"


def source(k: Winograd, lanes: int) -> str:
    """pv_winograd_in_M (shared by all of that m, guarded) and pv_winograd_out_NAME."""
    return f"{_input(k.m, lanes)}\n{_output(k, lanes)}"


def _input(m: int, lanes: int) -> str:
    n = m + 2
    b = MATRICES[m][0]
    lines = [
        f"#ifndef PV_WINOGRAD_{m}",
        f"#define PV_WINOGRAD_{m}",
        "/* Tiles of one row of tiles, one block: rows of the image -> positions. */",
        f"static void pv_winograd_in_{m}(const float *const *rows, float *u, int64_t position,",
        "                              int tiles) {",
        f"  for (int v = 0; v < 16; v += {lanes})",
        "    for (int t = 0; t < tiles; t++) {",
        f"      float *o = u + t * 16 + v; const int at = t * {m * 16} + v;",
        f"      pv_v k[{n}][{n}];",
    ]
    for c in range(n):
        lines.append("      {")
        lines += [
            f"        const pv_v d{r} = pv_load(rows[{r}] + at + {c * 16});" for r in range(n)
        ]
        for p in range(n):
            lines.append(f"        k[{p}][{c}] = {_sum(b[p], [f'd{r}' for r in range(n)])};")
        lines.append("      }")
    for p in range(n):
        for q in range(n):
            value = _sum(b[q], [f"k[{p}][{c}]" for c in range(n)])
            lines.append(f"      pv_store(o + {p * n + q} * position, {value});")
    return "\n".join([*lines, "    }", "}", "#endif"])


def _output(k: Winograd, lanes: int) -> str:
    n, m = k.m + 2, k.m
    a = MATRICES[m][2]
    lines = [
        "/* One tile of one block: positions -> rows of outputs. */",
        f"static void pv_winograd_out_{k.name}(const float *x, int64_t position,",
        "    const float *bias, float *const *out, const float *const *res, float alpha,",
        "    float beta) {",
        "  (void)alpha; (void)beta; (void)res;",
        f"  for (int l = 0; l < 16; l += {lanes}) {{",
        "    const pv_v b = pv_load(bias + l);",
        f"    pv_v k[{m}][{n}];",
    ]
    for q in range(n):
        lines.append("    {")
        lines += [
            f"      const pv_v d{p} = pv_load(x + {p * n + q} * position + l);" for p in range(n)
        ]
        for y in range(m):
            lines.append(f"      k[{y}][{q}] = {_sum(a[y], [f'd{p}' for p in range(n)])};")
        lines.append("    }")
    for y in range(m):
        for c in range(m):
            value = "b + " + _sum(a[c], [f"k[{y}][{q}]" for q in range(n)])
            if k.residual:
                value += f" + pv_load(res[{y}] + {c * 16} + l)"
            lines.append(f"    {{ const pv_v v = {value};")
            lines.append(
                f"    pv_store(out[{y}] + {c * 16} + l, pv_act_{k.act}(v, alpha, beta)); }}"
            )
    return "\n".join([*lines, "  }", "}"])


def _sum(row: np.ndarray, names: list[str]) -> str:
    """A C expression of a row of a matrix times a vector, without zeros and ones."""
    text = ""
    for factor, name in zip(row, names, strict=True):
        if factor == 0:
            continue
        term = name if abs(factor) == 1 else f"{float(abs(factor))!r}f * {name}"
        sign = "-" if factor < 0 else "+"
        text += f" {sign} {term}" if text else (f"-{term}" if factor < 0 else term)
    return text
