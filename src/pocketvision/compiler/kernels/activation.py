"""Activations as C expressions over a vector `v`, with the numbers `alpha` and `beta`."""

from __future__ import annotations

from pocketvision.compiler.graph import Activation

# Cheap ones are applied to sums in registers. {m} ends the names of the vector functions ("" or
# "_h"), so that one text serves both lengths.
CHEAP = {
    "none": "v",
    "relu": "pv_max{m}(v, pv_all{m}(0.0f))",
    "clip": "pv_max{m}(pv_min{m}(v, pv_all{m}(beta)), pv_all{m}(alpha))",
    "hard_swish": (
        "v * pv_max{m}(pv_min{m}(v * (1.0f / 6.0f) + 0.5f, pv_all{m}(1.0f)), pv_all{m}(0.0f))"
    ),
    "hard_sigmoid": "pv_max{m}(pv_min{m}(v * alpha + beta, pv_all{m}(1.0f)), pv_all{m}(0.0f))",
    "leaky_relu": "pv_max{m}(v, pv_all{m}(0.0f)) + pv_min{m}(v, pv_all{m}(0.0f)) * alpha",
    "abs": "pv_max{m}(v, -v)",
    "neg": "-v",
}
# Long ones go over what was stored, once a tile: the code would otherwise be there once a register.
LONG = {
    "sigmoid": "pv_sigmoid(v)",
    "silu": "v * pv_sigmoid(v)",
    "tanh": "2.0f * pv_sigmoid(2.0f * v) - 1.0f",
    "exp": "pv_exp(v)",
    "sqrt": "pv_sqrt(v)",
}


def is_cheap(kind: str) -> bool:
    """True for an activation of few instructions."""
    return kind in CHEAP


def expression(kind: str, half: bool = False) -> str:
    """The C expression of an activation of the vector `v`."""
    return CHEAP[kind].format(m="_h" if half else "") if kind in CHEAP else LONG[kind]


def functions(kinds: set[str], half: bool) -> str:
    """C functions pv_act_KIND(v, alpha, beta), and pv_act_KIND_h for half vectors."""
    lines = []
    for kind in sorted(kinds):
        lines.append(_function(kind, "pv_v", "", expression(kind)))
        if half and kind in CHEAP:
            lines.append(_function(kind, "pv_h", "_h", expression(kind, half=True)))
    return "\n".join(lines)


def _function(kind: str, of: str, suffix: str, body: str) -> str:
    return (
        f"PV_INLINE {of} pv_act_{kind}{suffix}({of} v, float alpha, float beta) {{\n"
        f"  (void)alpha; (void)beta;\n  return {body};\n}}"
    )


def numbers(act: Activation) -> tuple[float, float]:
    """`alpha` and `beta` as the C functions take them."""
    return float(act.alpha), float(act.beta)
