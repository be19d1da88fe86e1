"""`pocketvision show`: one network, its cost, its blocks or its layers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pocketvision.cli.options import Flag, Json, Model, ModelOptions, spec_of
from pocketvision.cli.out import Output, mebibytes, millions
from pocketvision.cost import Cost, cost
from pocketvision.spec import NetSpec

DEFAULTS = ModelOptions()


def show(
    model: str,
    /,
    *,
    options: Model = DEFAULTS,
    classes: int | None = None,
    layers: Flag = False,
    spec: Flag = False,
    json: Json = False,
) -> None:
    """Show what a network is made of and what it costs.

    Parameters
    ----------
    model: str
        A name from `pocketvision list`, an alias of timm or torchvision, or a bundle folder.
    classes: int
        Number of outputs.
    layers: bool
        One row a layer instead of one a block.
    spec: bool
        Print the spec itself as JSON and nothing else.
    """
    found = spec_of(model, options, classes=classes)
    if spec:
        from pocketvision import spec_json

        print(spec_json.dumps(found), end="")
        return
    out, total = Output(json=json), cost(found)
    out.say(headline(found, total))
    out.say()
    out.table(_layer_rows(total) if layers else _block_rows(found, total))
    out.result(as_json(found, total))
    out.next("pocketvision", "train", "digits", "--model", model, "--time", "1m")


def headline(spec: NetSpec, total: Cost) -> str:
    """The network in three lines."""
    height, width = spec.resolution
    n = spec.numerics
    return (
        f"{spec.name}, input {spec.in_channels}x{height}x{width}, "
        f"{', '.join(f'{h.classes} outputs ({name})' for name, h in spec.heads) or 'a trunk'}\n"
        f"{millions(total.params)} parameters ({mebibytes(total.weights_bytes)} in float32), "
        f"{millions(total.macs)} MACs, {millions(total.activations)} activations, "
        f"peak memory {mebibytes(total.peak_bytes)} layer by layer (at {total.peak_address})\n"
        f"numerics {n.name}: padding {n.padding}, batch-norm epsilon {n.bn_epsilon:g}"
    )


def as_json(spec: NetSpec, total: Cost) -> dict[str, Any]:
    """The machine's answer of `show`."""
    return {
        "name": spec.name,
        "resolution": list(spec.resolution),
        "in_channels": spec.in_channels,
        "classes": {name: head.classes for name, head in spec.heads},
        "numerics": asdict(spec.numerics),
        "params": total.params,
        "params_without_bn": total.params_without_bn,
        "macs": total.macs,
        "activations": total.activations,
        "weights_bytes": total.weights_bytes,
        "peak_bytes": total.peak_bytes,
        "peak_address": total.peak_address,
        "rows": [asdict(r) for r in total.rows],
    }


def _layer_rows(total: Cost) -> list[dict[str, object]]:
    return [
        {
            "address": r.address,
            "operation": r.operation,
            "out (c, h, w)": _size(r.out),
            "params": r.params,
            "macs": r.macs,
        }
        for r in total.rows
    ]


def _block_rows(spec: NetSpec, total: Cost) -> list[dict[str, object]]:
    """Rows summed over each block, the stem and each head.

    Branches end in a join, which has no row: the channels are the block's own.
    """
    blocks: dict[str, dict[str, Any]] = {}
    channels = {f"blocks.{i}": block.c_out for i, block in enumerate(spec.blocks)}
    for r in total.rows:
        pieces = r.address.split(".")
        key = ".".join(pieces[:2]) if pieces[0] in ("blocks", "heads") else pieces[0]
        row = blocks.setdefault(key, {"address": key, "kind": r.kind})
        row["out (c, h, w)"] = _size((channels.get(key, r.out[0]), *r.out[1:]))
        row["params"] = row.get("params", 0) + r.params
        row["macs"] = row.get("macs", 0) + r.macs
    return list(blocks.values())


def _size(out: tuple[int, int, int]) -> str:
    return "x".join(str(n) for n in out)
