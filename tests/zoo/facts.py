"""The fact files, read once, and what a row of them means."""

import json
from dataclasses import replace
from pathlib import Path

from pocketvision.cost import Cost, cost
from pocketvision.spec import Conv, NetSpec, Separable, Single
from pocketvision.zoo.lookup import resolve

FOLDER = Path(__file__).parents[1] / "facts"
COUNTED = json.loads((FOLDER / "counted.json").read_text())["rows"]
PUBLISHED = json.loads((FOLDER / "published.json").read_text())
DISAGREEMENTS = json.loads((FOLDER / "disagreements.json").read_text())["rows"]
NEIGHBOURS = json.loads((FOLDER / "neighbours.json").read_text())
COUNTED += NEIGHBOURS["counted"]
PUBLISHED["sources"] |= NEIGHBOURS["sources"]
PUBLISHED["rows"] += NEIGHBOURS["published"]
DISAGREEMENTS += NEIGHBOURS["disagreements"]


def spec_of(row: dict) -> NetSpec:
    return resolve(row["model"], **row["options"], resolution=row["resolution"])


def hidden_1280(spec: NetSpec) -> NetSpec:
    """MobileNetV3-Small as its paper prints it: the hidden layer of the head is 1280 wide."""
    head = spec.head()
    hidden = replace(head.hidden[0], c_out=1280)
    return replace(spec, heads=(("label", replace(head, hidden=(hidden,))),))


def dense(spec: NetSpec) -> NetSpec:
    """Every separable block as one standard 3x3 (MobileNetV1 paper, table 4)."""

    def one(block: Separable) -> Single:
        deep = block.depthwise
        conv = Conv(c_in=block.c_in, c_out=block.c_out, kernel=3, stride=deep.stride, act="relu6")
        return Single(conv=conv)

    return replace(spec, blocks=tuple(one(b) for b in spec.blocks))


def shallow(spec: NetSpec) -> NetSpec:
    """Without the five 14x14x512 blocks (MobileNetV1 paper, table 5)."""
    return replace(spec, blocks=(*spec.blocks[:6], *spec.blocks[11:]))


EDITS = {"hidden_1280": hidden_1280, "dense": dense, "shallow": shallow}


def figures(row: dict, **more) -> dict[str, float]:
    """What the source of a published row would print for its network, in millions, unrounded."""
    options = {**row["options"], **more.get("options", {})}
    resolution = more.get("resolution", row["resolution"])
    spec = spec_of({**row, "options": options, "resolution": resolution})
    edit = more.get("edit", row.get("edit"))
    total = cost(EDITS[edit](spec) if edit else spec)
    source = PUBLISHED["sources"][row["source"]]
    return {"params_M": params(total, source) / 1e6, "macs_M": macs(total, source) / 1e6}


def norm_channels(total: Cost) -> int:
    return (total.params - total.params_without_bn) // 2


def params(total: Cost, source: dict) -> int:
    return {
        "all": total.params,
        "without_bn": total.params_without_bn,
        "three_a_bn_channel": total.params_without_bn + 3 * norm_channels(total),
    }[source["params"]]


def macs(total: Cost, source: dict) -> int:
    return {"plain": total.macs, "plus_bn_channels": total.macs + norm_channels(total)}[
        source["macs"]
    ]
