"""The matrix product of pixels and weights, the heart of 1x1 and dense convolutions.

A kernel holds `rows` pixels x `vectors` vectors of output channels in registers and goes once
through the input channels: each step loads a row of packed weights and repeats one number of every
pixel. Weights are packed in panels as wide as the kernel: first the biases, then a row each input
number. An input is read in segments, runs of numbers beside each other in memory: 16 channels of a
block, or the taps of a kernel row.
"""

from __future__ import annotations

from dataclasses import dataclass

from pocketvision.compiler.kernels import activation


@dataclass(frozen=True, order=True)
class Gemm:
    """A kernel: `step` is the distance of two pixels of the input in floats.

    `run` is the length of every segment where all are short and alike, 0 otherwise.
    """

    rows: int
    vectors: int
    half: bool
    step: int
    act: str
    residual: bool
    run: int = 0

    @property
    def name(self) -> str:
        """The C function's name."""
        kind = "h" if self.half else "v"
        tail = "_add" if self.residual else ""
        run = f"r{self.run}" if self.run else ""
        return f"pv_gemm_{self.rows}x{self.vectors}{kind}_s{self.step}{run}_{self.act}{tail}"


def source(k: Gemm, lanes: int) -> str:
    """The kernel as a C function."""
    lanes = lanes // 2 if k.half else lanes
    m, of = ("_h", "pv_h") if k.half else ("", "pv_v")
    grid = [(i, j) for i in range(k.rows) for j in range(k.vectors)]
    cheap = activation.is_cheap(k.act)
    at = {j: f"{j * lanes // 16} * t->c_plane + {j * lanes % 16}" for j in range(k.vectors)}
    res = {j: f"{j * lanes // 16} * t->res_plane + {j * lanes % 16}" for j in range(k.vectors)}
    lines = [
        f"static void {k.name}(const pv_tile *t) {{",
        "  const float alpha = t->alpha, beta = t->beta;",
        "  (void)alpha; (void)beta;",
        "  long x = t->x;",
        "  float *c = t->c;",
        *(["  const float *res = t->res;"] if k.residual else []),
        "  for (int tile = 0; tile < t->tiles; tile++) {",
        "    const float *b = t->b;",
        *(f"    {of} b{j} = pv_load{m}(b + {j * lanes});" for j in range(k.vectors)),
        *(f"    {of} c{i}_{j} = b{j};" for i, j in grid),
        f"    b += {k.vectors * lanes};",
        "    const pv_segment *end = t->segments + t->n_segments;",
        "    for (const pv_segment *s = t->segments; s != end; s++) {",
        "      const float *p = t->rows[s->row] + s->at + x;",
        *_steps(k, lanes, of, m),
        "    }",
    ]
    for i, j in grid:
        value = f"c{i}_{j}"
        if k.residual:
            value += f" + pv_load{m}(res + {res[j]} + {i * 16})"
        if cheap:
            value = f"pv_act_{k.act}{m}({value}, alpha, beta)"
        lines.append(f"    pv_store{m}(c + {at[j]} + {i * 16}, {value});")
    if not cheap:
        lines += _stored(k, lanes * (2 if k.half else 1), at)
    lines.append(f"    x += {k.rows * k.step}; c += {k.rows * 16};")
    if k.residual:
        lines.append(f"    res += {k.rows * 16};")
    return "\n".join([*lines, "  }", "}"])


def _steps(k: Gemm, lanes: int, of: str, m: str) -> list[str]:
    """The multiply-adds of a segment: a loop, or all its steps where it is short."""
    width = k.vectors * lanes
    if not k.run:
        body = _step(k, lanes, of, m, 0)
        return [
            "      for (int n = s->count; n > 0; n--) {",
            *body,
            f"        p++; b += {width};",
            "      }",
        ]
    lines = []
    for n in range(k.run):
        lines += ["      {", *_step(k, lanes, of, m, n), "      }"]
    return [*lines, f"      b += {k.run * width};"]


def _step(k: Gemm, lanes: int, of: str, m: str, n: int) -> list[str]:
    """One input number of every pixel against one row of weights."""
    at = n * k.vectors * lanes
    lines = [f"        b{j} = pv_load{m}(b + {at + j * lanes});" for j in range(k.vectors)]
    for i in range(k.rows):
        number = f"pv_all{m}(p[{i * k.step + n}])"
        if k.vectors > 1:
            lines.append(f"        {of} a{i} = {number};")
            number = f"a{i}"
        lines += [f"        c{i}_{j} += {number} * b{j};" for j in range(k.vectors)]
    return lines


def _stored(k: Gemm, lanes: int, at: dict[int, str]) -> list[str]:
    """A long activation goes over what the tile has stored, in whole vectors.

    The last of an odd number of half vectors is read with what lies behind it, and written alone.
    """
    lines = [f"    for (int i = 0; i < {k.rows * 16}; i += 16) {{"]
    for j in range(0, k.vectors, 2) if k.half else range(k.vectors):
        store = "pv_store_low" if k.half and j + 1 == k.vectors else "pv_store"
        value = f"pv_act_{k.act}(pv_load(c + {at[j]} + i), alpha, beta)"
        lines.append(f"      {store}(c + {at[j]} + i, {value});")
    return [*lines, "    }"]
