"""Depthwise convolution of some rows of one block of 16 channels.

A tile of neighbouring outputs is held in registers; every input vector is loaded once for all
outputs that it reaches. Weights: a vector each tap, row by row, then the biases. `rows` are the
input's rows under the kernel, with borders of zeros left and right, so that nothing is tested.
"""

from __future__ import annotations

from dataclasses import dataclass

from pocketvision.compiler.kernels import activation

KEPT = 9  # weights that stay in registers over all rows


@dataclass(frozen=True, order=True)
class Depthwise:
    """A kernel for rows of `tiles` tiles of `width` outputs, and one of `last` where not 0."""

    kernel_h: int
    kernel_w: int
    stride_h: int
    stride: int
    dilation: int
    width: int
    last: int
    act: str
    residual: bool
    total: bool  # also adds up the row's outputs, for a mean that follows

    @property
    def name(self) -> str:
        """The C function's name."""
        tail = ("_add" if self.residual else "") + ("_sum" if self.total else "")
        return (
            f"pv_dw_{self.kernel_h}x{self.kernel_w}_s{self.stride_h}{self.stride}d{self.dilation}"
            f"_{self.width}_{self.last}_{self.act}{tail}"
        )


def source(k: Depthwise, lanes: int) -> str:
    """The kernel as a C function: `n` output rows of one block."""
    taps = k.kernel_h * k.kernel_w
    kept = lanes >= 4 and taps <= KEPT
    lines = [
        f"static void {k.name}(const pv_row *t) {{",
        "  const float alpha = t->alpha, beta = t->beta;",
        "  (void)alpha; (void)beta;",
        f"  for (int v = 0; v < 16; v += {lanes}) {{",
        "    const float *w = t->w + v;",
        f"    const pv_v bias = pv_load(w + {taps * 16});",
    ]
    if kept:
        lines += [f"    const pv_v w{i} = pv_load(w + {i * 16});" for i in range(taps)]
    lines += [
        "    for (int n = 0; n < t->n; n++) {",
        f"    const float *const *rows = t->rows + n * {k.stride_h};",
        *(f"    const float *r{y} = rows[{y}] + v;" for y in range(k.kernel_h)),
        "    float *o = t->out[n] + v;",
        *(["    const float *res = t->res[n] + v;"] if k.residual else []),
        *(["    pv_v total = pv_all(0.0f);"] if k.total else []),
        "    for (int tile = 0; tile < t->tiles; tile++) {",
    ]
    lines += _tile(k, k.width, kept)
    lines.append("    }")
    if k.last:
        lines += ["    {", *_tile(k, k.last, kept), "    }"]
    if k.total:
        lines.append("    pv_store(t->sum + n * 16 + v, total);")
    return "\n".join([*lines, "    }", "  }", "}"])


def _tile(k: Depthwise, width: int, kept: bool) -> list[str]:
    """The code of one tile of `width` outputs."""
    s, d = k.stride, k.dilation
    lines = [f"      pv_v c{i} = bias;" for i in range(width)]
    for y in range(k.kernel_h):
        lines.append("      {")
        if not kept:
            row = range(y * k.kernel_w, (y + 1) * k.kernel_w)
            lines += [f"        const pv_v w{i} = pv_load(w + {i * 16});" for i in row]
        for column in range((width - 1) * s + (k.kernel_w - 1) * d + 1):
            uses = _uses(k, width, column)
            if uses:
                sums = " ".join(f"c{o} += x * w{y * k.kernel_w + x};" for o, x in uses)
                lines.append(f"        {{ const pv_v x = pv_load(r{y} + {column * 16}); {sums} }}")
        lines.append("      }")
    for i in range(width):
        value = f"c{i} + pv_load(res + {i * 16})" if k.residual else f"c{i}"
        if activation.is_cheap(k.act):
            lines.append(f"      c{i} = pv_act_{k.act}({value}, alpha, beta);")
        elif k.residual:
            lines.append(f"      c{i} = {value};")
    if not activation.is_cheap(k.act):
        lines += _long(k, width)
    else:
        lines += [f"      pv_store(o + {i * 16}, c{i});" for i in range(width)]
    if k.total and activation.is_cheap(k.act):
        lines.append("      total += " + _tree([f"c{i}" for i in range(width)]) + ";")
    lines.append(
        "      "
        + "".join(f"r{y} += {width * s * 16}; " for y in range(k.kernel_h))
        + f"o += {width * 16};"
        + (f" res += {width * 16};" if k.residual else "")
    )
    return lines


def _long(k: Depthwise, width: int) -> list[str]:
    """Store the sums, then apply the activation to them in a loop: its code is there once."""
    lines = [f"      pv_store(o + {i * 16}, c{i});" for i in range(width)]
    lines += [
        f"      for (int i = 0; i < {width * 16}; i += 16) {{",
        f"        const pv_v y = pv_act_{k.act}(pv_load(o + i), alpha, beta);",
        "        pv_store(o + i, y);",
        *(["        total += y;"] if k.total else []),
        "      }",
    ]
    return lines


def _uses(k: Depthwise, width: int, column: int) -> list[tuple[int, int]]:
    """(output, tap) that an input column takes part in."""
    found = []
    for x in range(k.kernel_w):
        o, rest = divmod(column - x * k.dilation, k.stride)
        if rest == 0 and 0 <= o < width:
            found.append((o, x))
    return found


def _tree(terms: list[str]) -> str:
    """A sum in pairs, which neither waits for one long chain nor loses as many bits."""
    while len(terms) > 1:
        terms = [
            f"({terms[i]} + {terms[i + 1]})" if i + 1 < len(terms) else terms[i]
            for i in range(0, len(terms), 2)
        ]
    return terms[0]
