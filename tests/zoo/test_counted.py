"""Counts of our specs equal those of the libraries' own networks, number by number."""

import pytest

from pocketvision.cost import cost

from .facts import COUNTED, spec_of

# Libraries that build every layer after the pool as a linear one (or none of them); our hidden
# layers are 1x1 convolutions and our last one is linear, which moves MACs between two columns.
OTHER_SPLIT = ("torchvision", "official clovaai")


def name(row):
    return f"{row['library']} {row['name']} {row['resolution']}"


@pytest.mark.parametrize("row", COUNTED, ids=name)
def test_equals_counted(row):
    total = cost(spec_of(row))
    by_macs = total.by_operation("macs")
    grouped = by_macs["depthwise"] + by_macs["grouped"]
    got = {
        "params": total.params,
        "params_without_bn_affine": total.params_without_bn,
        "macs": total.macs,
        "activations": total.activations,
        "macs_grouped": grouped,
        "macs_full_conv": by_macs["dense"],
        "macs_1x1": by_macs["1x1"],
        "macs_fc": by_macs["fully_connected"],
    }
    if row["library"].startswith(OTHER_SPLIT):
        together = got.pop("macs_1x1") + got.pop("macs_fc")
        assert together == row["macs_1x1"] + row["macs_fc"]
    assert got == {k: row.get(k, got[k]) for k in got}


def test_every_family_is_covered():
    models = {row["model"].split("/")[-1].split("_")[0] for row in COUNTED}
    assert {"mobilenet", "mobilenetv1", "mobilenetv2", "mobilenetv3", "mobilenext"} <= models
    assert {"rexnet", "mixnet"} <= models
    assert {"mobilenetv4", "mnasnet", "semnasnet", "efficientnet", "ghostnet"} <= models
    assert {"squeezenet1", "shufflenet", "legacy", "xception41", "resnet18", "resnet50"} <= models
    assert len(COUNTED) == 160 + 43
