"""Weights as they are stored: float32, rounded once after all products."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from pocketvision.compiler.graph import (
    Graph,
    Node,
)
from pocketvision.compiler.passes.rewrite import rebuilt


def single(graph: Graph) -> Graph:
    """All weights as float32, rounded once."""
    return rebuilt(graph, [_single(node) for node in graph.nodes])


def _single(node: Node) -> Node:
    changed: dict[str, Any] = {}
    for name in ("weight", "bias", "scale", "value"):
        found = getattr(node, name, None)
        if isinstance(found, np.ndarray):
            changed[name] = np.ascontiguousarray(found, np.float32)
    act = getattr(node, "act", None)
    if act is not None and act.slope is not None:
        changed["act"] = replace(act, slope=act.slope.astype(np.float32))
    return replace(node, **changed) if changed else node
