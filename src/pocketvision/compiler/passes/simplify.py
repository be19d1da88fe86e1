"""All passes, over and over, until none finds anything."""

from __future__ import annotations

from collections.abc import Callable

from pocketvision.compiler.graph import Graph
from pocketvision.compiler.passes.activation import activation
from pocketvision.compiler.passes.affine import affine_after, affine_before
from pocketvision.compiler.passes.border import border, whole_mean
from pocketvision.compiler.passes.channels import channels_down, channels_joined, channels_up
from pocketvision.compiler.passes.constants import constants, doubled
from pocketvision.compiler.passes.crops import crops
from pocketvision.compiler.passes.gate import gate
from pocketvision.compiler.passes.groups import groups, one_tap
from pocketvision.compiler.passes.identity import identity
from pocketvision.compiler.passes.mixed import mixed
from pocketvision.compiler.passes.residual import partial_residual, residual
from pocketvision.compiler.passes.rewrite import rebuilt
from pocketvision.compiler.passes.single import single
from pocketvision.compiler.passes.spelled import spelled
from pocketvision.compiler.passes.through import through

Pass = Callable[[Graph], Graph]

# Activations are recognised before anything merges their parts; parts are mixed before they are
# traced to where they come from; a residual comes before the activation behind it; a gate last,
# when the convolution that reads it is in its final form.
PASSES: tuple[Pass, ...] = (
    identity,
    constants,
    doubled,
    spelled,
    whole_mean,
    crops,
    border,
    groups,
    mixed,
    channels_joined,
    one_tap,
    affine_after,
    affine_before,
    through,
    channels_up,
    channels_down,
    partial_residual,
    residual,
    activation,
    gate,
)
MAX_ROUNDS = 200


def simplify(graph: Graph) -> Graph:
    """The same network in fewer nodes; weights are float32 in the end."""
    graph = rebuilt(graph, graph.nodes)
    for _ in range(MAX_ROUNDS):
        before = graph
        for rewrite in PASSES:
            graph = rewrite(graph)
        if graph is before:
            break
    return single(graph)
