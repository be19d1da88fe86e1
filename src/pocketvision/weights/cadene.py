"""Cadene's `pretrained-models.pytorch`: NASNet-A mobile.

    conv0, cell_stem_J, cell_K, reduction_cell_J, last_linear; inside a cell conv_prev_1x1 or path_J
    with final_path_bn (older input), conv_1x1 (newer input), comb_iter_N_left, comb_iter_N_right

Source: read off its state dictionary.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from pocketvision.spec import NetSpec
from pocketvision.weights.match import fit, modules, natural

BEFORE, AFTER = ("conv0", "cell_stem_0", "cell_stem_1"), "last_linear"
# Cells are numbered with a gap of two for each reduction: 0 to 3, 6 to 9, 12 to 15.
GAP_AT = 4
OLDER = ("path_1", "path_2", "final_path_bn", "conv_prev_1x1")
NEWER = "conv_1x1"
CELL = re.compile(r"(reduction_)?cell_(\d+)")
EDGE = re.compile(r"comb_iter_(\d)_(left|right)")
PARTS = ("relu", "conv", "separable_1", "bn_sep_1", "separable_2", "bn_sep_2", "bn")


def to_ours(spec: NetSpec, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Cadene's NASNet-A mobile as weights of `spec`. Raises WeightsError."""
    return fit(spec, tensors, sorted(modules(tensors), key=_key))


def _key(prefix: str) -> tuple[object, ...]:
    section, _, rest = prefix.partition(".")
    layer, _, inner = rest.partition(".")
    part = (inner or layer).split(".")[0]
    rank = PARTS.index(part) if part in PARTS else 99
    return _place(section), _layer(layer), rank, natural(inner)


def _place(section: str) -> int:
    if section in BEFORE:
        return BEFORE.index(section) - len(BEFORE)
    if section == AFTER:
        return 1000
    cell = CELL.fullmatch(section)
    if not cell:
        return 999
    number = int(cell[2])
    return GAP_AT + (GAP_AT + 2) * number if cell[1] else number


def _layer(layer: str) -> tuple[int, int]:
    if layer in OLDER:
        return 0, OLDER.index(layer)
    if edge := EDGE.fullmatch(layer):
        return 2 + int(edge[1]), edge[2] == "right"
    return 1, layer != NEWER
