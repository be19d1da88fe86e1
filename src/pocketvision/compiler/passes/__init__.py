"""Rewrites of the graph, in the order in which they run, until nothing changes."""

from __future__ import annotations

from pocketvision.compiler.passes.simplify import PASSES, simplify

__all__ = ["PASSES", "simplify"]
