"""From a graph (TFLite, ONNX) to a bundle: the architecture is what the operators say."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pocketvision.errors import WeightsError
from pocketvision.preprocess import Preprocess
from pocketvision.spec import NetSpec, Numerics
from pocketvision.weights.assemble import (
    epsilon_of,
    padding_of,
    quantization_of,
    spec_of,
    weights_of,
)
from pocketvision.weights.blocks import Reading, read
from pocketvision.weights.found import Found, Imported, Wishes, finished
from pocketvision.weights.graph import Graph
from pocketvision.weights.passes import joined
from pocketvision.weights.recognise import Named, named


@dataclass(frozen=True, kw_only=True)
class Habits:
    """What files of one source leave unsaid: the source's name, padding rule and epsilon."""

    source: str
    numerics: str
    padding: str
    epsilon: float


def imported(
    graph: Graph,
    habits: Habits,
    *,
    preprocess: Preprocess,
    wishes: Wishes,
    assumed: tuple[str, ...] = (),
    labels: tuple[str, ...] | None = None,
) -> Imported:
    """The bundle of a graph. Raises WeightsError where not even one block of ours is found."""
    gates = _gates(graph)
    graph = joined(graph)
    reading = read(graph)
    if not reading.blocks:
        what = reading.unused[0] if reading.unused else "nothing"
        raise WeightsError(
            f"no block of a known network follows the first convolution but {what}; "
            "read are chains of depthwise and 1x1 convolutions, with gates and shortcuts"
        )
    spec, name = _spec(reading, habits, preprocess.size)
    found = Found(
        source=habits.source,
        model=_model_text(spec, name),
        facts=_facts(graph, reading) | gates | _ending(reading),
        assumed=assumed,
        left_out=_left_out(reading),
    )
    return finished(
        spec,
        weights_of(reading, spec.numerics.bn_epsilon),
        found=found,
        preprocess=preprocess,
        wishes=wishes,
        labels=labels,
        quantization=quantization_of(reading, graph),
    )


def _spec(
    reading: Reading, habits: Habits, resolution: tuple[int, int]
) -> tuple[NetSpec, Named | None]:
    epsilon = epsilon_of(reading, habits.epsilon)
    padding = padding_of(reading, habits.padding)
    numerics = Numerics(name=habits.numerics, padding=padding, bn_epsilon=epsilon)
    spec = spec_of(reading, name="imported", resolution=resolution, numerics=numerics)
    name = named(spec)
    return replace(spec, name=name.model if name else "imported"), name


def _model_text(spec: NetSpec, name: Named | None) -> str:
    if name is None:
        return f"no network of the zoo, {len(spec.blocks)} blocks"
    return name.text if name.whole else f"{name.text}, first {len(spec.blocks)} blocks"


def _facts(graph: Graph, reading: Reading) -> dict[str, str]:
    if not graph.stored:
        return {"weights": "real numbers"}
    kinds = {}
    for f in reading.filters.values():
        for key in f.tensors[:1]:
            if key in graph.stored:
                scheme, axis, _, _ = graph.stored[key]
                kinds[f"{scheme} per {'tensor' if axis is None else 'channel'}"] = True
    grids = f", grids of {len(reading.edges)} edges kept" if graph.grids else ""
    return {"weights": f"{', '.join(kinds) or 'whole numbers'}, made real{grids}"}


def _ending(reading: Reading) -> dict[str, str]:
    """What stands behind our outputs in the file."""
    return {"ending": "softmax; outputs here are logits"} if reading.softmax else {}


def _gates(graph: Graph) -> dict[str, str]:
    """A hard-sigmoid of another slope is ours on weights as much steeper; say so."""
    slopes = {n.value for n in graph.nodes if n.act == "hard_sigmoid" and n.value is not None}
    if not slopes:
        return {}
    shown = ", ".join(f"{s:g}" for s in sorted(float(str(s)) for s in slopes))
    return {"gates": f"hard-sigmoid of slope {shown}, written into the weights before it"}


def _left_out(reading: Reading) -> tuple[str, ...]:
    if not reading.unused:
        return ()
    first = ", ".join(reading.unused[:3])
    more = f" and {len(reading.unused) - 3} more" if len(reading.unused) > 3 else ""
    return (f"{len(reading.unused)} operators after the trunk: {first}{more}",)
