"""Our networks, through each library's importer, equal that library's own code in float64.

The facts hold, for each network, the library's parameter names and what it computed under a fill
that anyone can repeat; so neither the library nor a download is needed.
"""

import gzip
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketvision.model import Network
from pocketvision.weights import numbered, timm
from pocketvision.zoo.aliases import LIBRARIES
from pocketvision.zoo.lookup import resolve


def facts(name: str) -> dict:
    """What a fact file holds."""
    return json.loads(gzip.decompress((Path(__file__).parents[1] / "facts" / name).read_bytes()))


FACTS = facts("golden.json.gz")["networks"]


def filled(name: str, shape: list[int], role: str) -> torch.Tensor:
    """The value of one parameter: pseudo-random by its name, scaled by its role."""
    seed = zlib.crc32(name.encode())
    z = np.random.RandomState(seed).standard_normal(int(np.prod(shape))).reshape(shape)
    scale = {
        "conv": lambda: z * np.sqrt(2 / np.prod(shape[1:])),
        "linear": lambda: z / np.sqrt(shape[-1]),
        "bn_weight": lambda: 1 + 0.1 * np.tanh(z),
        "bn_var": lambda: 1 + 0.3 * np.tanh(z),
        "other": lambda: 0.1 * z,
    }
    return torch.from_numpy(scale[role]())


def state_of(fact: dict) -> dict[str, torch.Tensor]:
    return {n: filled(n, shape, role) for n, shape, role in fact["state_dict"] if role != "skip"}


def spec_of(key: str):
    """The key is `<library and version>__<name>`; both are names that the zoo knows."""
    source, name = key.split("__")
    library = next(lib for lib in LIBRARIES if source.startswith(lib))
    return resolve(f"{library}/{name}")


def check(key: str, fact: dict, importer) -> None:
    """Our network with the fact's weights, through `importer`, gives the fact's outputs."""
    spec = spec_of(key)
    net = Network(spec).double().eval()
    net.load_state_dict(importer.to_ours(spec, state_of(fact)))
    side = fact["resolution"]
    x = np.random.RandomState(0).standard_normal((2, 3, side, side))
    with torch.no_grad():
        y = net(torch.from_numpy(x)).numpy()
    bound = 1e-9 * fact["largest"]
    assert abs(np.abs(y).max() - fact["largest"]) <= bound
    assert np.abs(y[:, fact["columns"]] - np.array(fact["values"])).max() <= bound
    assert np.abs(y.sum(axis=1) - np.array(fact["sum"])).max() <= 1000 * bound


@pytest.mark.parametrize("key", FACTS)
def test_equals_reference(key):
    check(key, FACTS[key], timm if key.startswith("timm") else numbered)


@pytest.mark.parametrize("key", FACTS)
def test_learnable_parameters(key):
    with torch.device("meta"):
        net = Network(spec_of(key))
    assert sum(p.numel() for p in net.parameters()) == FACTS[key]["params"]
