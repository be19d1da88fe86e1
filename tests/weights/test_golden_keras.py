"""Networks of Keras applications, by Keras' names and layouts, equal Keras' own code.

Keras computes some things in float32 whatever the model's type (its table of 64-bit types that are
computed in 32 bits, for PyTorch as the backend): batch-norm, the mean over space, the product of a
`Dense`. The facts hold what Keras gives with that table emptied, which is float64 throughout, and
what it gives as it is; the second is reproduced by rounding at the same places.
"""

import os
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pocketvision.model import Network
from pocketvision.weights import keras, tables
from pocketvision.zoo.lookup import resolve

from .test_golden import facts

FACTS = facts("golden_keras.json.gz")["networks"]
# What Keras gives with its table emptied is not known of Xception.
WHOLE = [key for key, fact in FACTS.items() if "values" in fact]
SCALES = {
    "conv_hwio": lambda z, s: z * np.sqrt(2 / np.prod(s[:3])),
    "depthwise_hwcm": lambda z, s: z * np.sqrt(2 / np.prod(s[:2])),
    "linear_io": lambda z, s: z / np.sqrt(s[0]),
    "bn_weight": lambda z, s: 1 + 0.1 * np.tanh(z),
    "bn_var": lambda z, s: 1 + 0.3 * np.tanh(z),
    "other": lambda z, s: 0.1 * z,
}


def filled(name, shape, role):
    """The value of one parameter: pseudo-random by its name, scaled by its role."""
    z = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(int(np.prod(shape)))
    return torch.from_numpy(SCALES[role](z.reshape(shape), shape))


def tensors_of(key):
    return {n: filled(n, shape, role) for n, shape, role in FACTS[key]["state_dict"]}


def spec_of(key):
    """The spec of `keras-<version>__<class>_<width>[_minimalistic]`."""
    name, width, *mini = key.split("__")[1].split("_") + ["1.0"] * key.endswith("Xception")
    options = {"minimalistic": True} if mini else {}
    return resolve(f"keras/{name}", width=float(width), **options)


def network(key, tensors):
    spec = spec_of(key)
    net = Network(spec).double().eval()
    net.load_state_dict(keras.to_ours(spec, tensors))
    return net


def inputs(key):
    side = FACTS[key]["resolution"]
    return torch.from_numpy(np.random.RandomState(0).standard_normal((2, 3, side, side)))


@pytest.mark.parametrize("key", WHOLE)
def test_equals_reference(key):
    fact = FACTS[key]
    with torch.no_grad():
        y = network(key, tensors_of(key))(inputs(key)).numpy()
    bound = 1e-9 * fact["largest"]
    assert abs(np.abs(y).max() - fact["largest"]) <= bound
    assert np.abs(y[:, fact["columns"]] - np.array(fact["values"])).max() <= bound
    assert np.abs(y.sum(axis=1) - np.array(fact["sum"])).max() <= 1000 * bound
    # As Keras stores it, with parts in float32.
    assert np.abs(y[:, fact["columns"]] - np.array(fact["stored_values"])).max() <= 5000 * bound


@pytest.mark.parametrize("key", FACTS)
def test_tensors_count_what_keras_counts(key):
    tensors = tensors_of(key)
    assert sum(t.numel() for t in tensors.values()) == FACTS[key]["params"]
    assert tables.recognised(tensors).chosen.spec == spec_of(key)


def test_every_network_is_here():
    assert (len(FACTS), len(WHOLE)) == (15, 14)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("conv1/conv1/kernel:0", "conv1.weight"),
        ("model_weights/bn_Conv1/bn_Conv1/moving_variance:0", "conv1_bn.running_var"),
        ("block_3_expand_BN/block_3_expand_BN/gamma", "block_3_expand_bn.weight"),
        # Keras 2 names the layers of MobileNetV3 with slashes, published files too.
        ("expanded_conv_3/squeeze_excite/Conv_1/expanded_conv_3/squeeze_excite/Conv_1/bias:0",
         "expanded_conv_3_squeeze_excite_conv_1.bias"),
        ("Conv/BatchNorm/Conv/BatchNorm/beta:0", "conv_bn.bias"),
        ("model_weights/outer/conv_dw_2/conv_dw_2/depthwise_kernel:0", "conv_dw_2.weight"),
    ],
)  # fmt: skip
def test_names_of_every_version(path, name):
    shape = (3, 3, 4, 1) if "kernel" in path else (4,)
    assert list(keras.named({path: torch.zeros(shape)})) == [name]


# ------------------------------------------------------------------------- with Keras' own rounding


class Float32Norm(nn.Module):
    """Keras' batch-norm: everything cast to float32, the operations in Keras' order."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, x):
        n = self.norm
        mean, var, gamma, beta = (
            v.float()[:, None, None] for v in (n.running_mean, n.running_var, n.weight, n.bias)
        )
        return ((x.float() - mean) * ((var + n.eps).rsqrt() * gamma) + beta).double()


class Float32Product(nn.Module):
    """Keras' Dense: the product in float32, the bias added after."""

    def __init__(self, linear):
        super().__init__()
        self.kernel, self.bias = linear.weight.T.contiguous().float(), linear.bias

    def forward(self, x):
        return (x.float() @ self.kernel).double() + self.bias


def with_keras_rounding(net):
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, Float32Norm(child))
    if net.spec.name in ("mobilenet_v2", "xception"):  # whose classifier is a Dense
        head = net.heads["label"]
        head.classifier = Float32Product(head.classifier)
    return net


def mean_in_float32(x, _size):
    rows = x.permute(0, 2, 3, 1).contiguous().float()
    return rows.mean((1, 2)).double()[:, :, None, None]


def test_xception_equals_the_stored_outputs_where_keras_rounds(monkeypatch):
    key = "keras-3.15.1__Xception"
    fact, net = FACTS[key], network(key, tensors_of(key))
    stored = np.array(fact["stored_values"])
    with torch.no_grad():
        plain = net(inputs(key)).numpy()
    assert np.abs(plain[:, fact["columns"]] - stored).max() <= 1e-6 * fact["largest"]
    net = with_keras_rounding(net)
    monkeypatch.setattr(F, "adaptive_avg_pool2d", mean_in_float32)
    with torch.no_grad():
        y = net(inputs(key)).numpy()
    assert np.abs(y[:, fact["columns"]] - stored).max() <= 1e-9 * fact["largest"]


@pytest.mark.skipif("POCKETVISION_GOLDEN" not in os.environ, reason="POCKETVISION_GOLDEN not set")
@pytest.mark.parametrize("key", FACTS)
def test_equals_the_stored_outputs_where_keras_rounds(key, monkeypatch):
    stored = np.load(Path(os.environ["POCKETVISION_GOLDEN"]) / f"{key}.npz")["logits"]
    net = with_keras_rounding(network(key, tensors_of(key)))
    monkeypatch.setattr(F, "adaptive_avg_pool2d", mean_in_float32)
    with torch.no_grad():
        y = net(inputs(key)).numpy()
    assert np.abs(y - stored).max() <= 1e-9 * np.abs(stored).max()
