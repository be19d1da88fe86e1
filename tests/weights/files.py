"""Small weight files of every kind, made here, and ways to damage them."""

import io
import json

import numpy as np
import torch

from pocketvision.model import build
from pocketvision.zoo.lookup import resolve


def network(name, seed=0, **options):
    """A network of the zoo whose batch-norm statistics are not all the same."""
    net = build(resolve(name, **options), seed=seed).eval()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, value in net.state_dict().items():
            if key.endswith(("running_mean", "norm.bias")):
                value.copy_(0.1 * torch.randn(value.shape, generator=draw))
            elif key.endswith(("running_var", "norm.weight")):
                value.copy_(1 + 0.2 * torch.rand(value.shape, generator=draw))
    return net


def torchvision_v2(net):
    """Our MobileNetV2's state dictionary under torchvision's names."""
    rows, found = net.state_dict(), {}
    names = {"stem": "features.0", "heads.label": "classifier.1"}
    last = len(net.spec.blocks) - 1
    for i, block in enumerate(net.spec.blocks):
        places = [name for name, _ in block.layers]
        for k, layer in enumerate(places):
            inner = f"conv.{k}"
            names[f"blocks.{i}.{layer}"] = f"features.{i + 1}" if i == last else (
                f"features.{i + 1}.{inner}")  # fmt: skip
    for key, value in rows.items():
        if key.startswith("heads."):
            found[f"classifier.1.{key.rsplit('.', 1)[1]}"] = value
            continue
        layer, kind, leaf = key.rsplit(".", 2)
        base = names[layer]
        linear = layer.endswith((".project", ".pointwise")) and layer != f"blocks.{last}.conv"
        if linear:  # the projection stands in the block's list itself, its norm one place after
            head, _, place = base.rpartition(".")
            found[f"{head}.{int(place) + (kind == 'norm')}.{leaf}"] = value
        else:
            found[f"{base}.{'01'[kind == 'norm']}.{leaf}"] = value
    return found


def saved_pth(state, *, legacy=False):
    out = io.BytesIO()
    torch.save(state, out, _use_new_zipfile_serialization=not legacy)
    return out.getvalue()


# -------------------------------------------------------------------------------------------- Keras

V1_NAMES = {"depthwise": "conv_dw", "pointwise": "conv_pw"}


def keras_v1(net):
    """Our MobileNetV1 under Keras' names and in its layouts: {layer: {leaf: array}} in order."""
    layers = {}
    for key, value in net.state_dict().items():
        if key.endswith("num_batches_tracked"):
            continue
        layer, kind, leaf = (
            ("head", *key.rsplit(".", 2)[1:]) if key[0] == "h" else key.rsplit(".", 2)
        )
        if layer == "head":
            kind, name = "conv", "conv_preds"
        elif layer == "stem":
            name = "conv1"
        else:
            _, i, part = layer.split(".")
            name = f"{V1_NAMES[part]}_{int(i) + 1}"
        a = value.numpy()
        if kind == "norm":
            leaves = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean",
                      "running_var": "moving_variance"}  # fmt: skip
            layers.setdefault(f"{name}_bn", {})[leaves[leaf]] = a
        elif leaf == "bias":
            layers[name]["bias"] = a
        elif name.startswith("conv_dw"):
            layers[name] = {"depthwise_kernel": a.transpose(2, 3, 0, 1)}
        else:
            a = a[:, :, None, None] if a.ndim == 2 else a
            layers[name] = {"kernel": a.transpose(2, 3, 1, 0)}
    return layers


def keras_config(side, *, relu=6.0, epsilon=1e-3):
    """As much of a Keras description as is read."""
    layers = [
        {"class_name": "InputLayer", "config": {"batch_input_shape": [None, side, side, 3]}},
        {"class_name": "BatchNormalization", "config": {"epsilon": epsilon}},
        {"class_name": "ReLU", "config": {"max_value": relu}},
    ]
    return json.dumps({"class_name": "Functional", "config": {"layers": layers}})


def saved_h5(path, layers, *, config=None, suffix=":0", root="model_weights"):
    """Keras' file of names: <root>/<layer>/<layer>/<leaf>:0."""
    import h5py

    with h5py.File(path, "w") as f:
        if config is not None:
            f.attrs["model_config"] = config
        group = f.create_group(root) if root else f
        for layer, leaves in layers.items():
            for leaf, a in leaves.items():
                group[f"{layer}/{layer}/{leaf}{suffix}"] = a
    return path


def saved_numbered(path, layers):
    """Keras 3's file of numbers: layers/<class>_<n>/vars/<i>."""
    import h5py

    counts = {}
    with h5py.File(path, "w") as f:
        for leaves in layers.values():
            norm = "gamma" in leaves
            kind = "batch_normalization" if norm else (
                "depthwise_conv2d" if "depthwise_kernel" in leaves else "conv2d")  # fmt: skip
            n = counts[kind] = counts.get(kind, -1) + 1
            place = f"layers/{kind}{f'_{n}' if n else ''}/vars"
            order = ("gamma", "beta", "moving_mean", "moving_variance", "kernel",
                     "depthwise_kernel", "bias")  # fmt: skip
            for i, leaf in enumerate(k for k in order if k in leaves):
                f[f"{place}/{i}"] = leaves[leaf]
    return path


def saved_tfjs(folder, layers, *, topology=None, shards=2, packed=False):
    """A TensorFlow.js layers model of several shards; `packed` stores kernels in 8 bits."""
    folder.mkdir(exist_ok=True)
    rows, data = [], b""
    for layer, leaves in layers.items():
        for leaf, a in leaves.items():
            row = {"name": f"{layer}/{leaf}", "shape": list(a.shape), "dtype": "float32"}
            if packed and leaf.endswith("kernel"):
                least, scale = float(a.min()), float(np.ptp(a)) / 255 or 1.0
                row["quantization"] = {"dtype": "uint8", "min": least, "scale": scale}
                data += np.round((a - least) / scale).astype(np.uint8).tobytes()
            else:
                data += a.astype("<f4").tobytes()
            rows.append(row)
    cut = -(-len(data) // shards)
    names = [f"group1-shard{i + 1}of{shards}.bin" for i in range(shards)]
    for i, name in enumerate(names):
        (folder / name).write_bytes(data[i * cut : (i + 1) * cut])
    manifest = [{"paths": names, "weights": rows}]
    model = {"modelTopology": topology or {}, "weightsManifest": manifest}
    (folder / "model.json").write_text(json.dumps(model))
    return folder


# ------------------------------------------------------------------------------------------- damage


def mutated(data, rng):
    """One damaged copy: cut short, bits turned, bytes replaced, moved, repeated or left out."""
    raw = bytearray(data)
    kind = rng.integers(0, 8)
    # Half of all damage goes to the first kilobytes, where the structure of most files lies.
    span = min(len(raw), 4096) if rng.integers(2) else len(raw)
    at = int(rng.integers(0, span))
    if kind == 0:
        return bytes(raw[: int(rng.integers(0, len(raw)))])
    if kind == 1:
        for _ in range(int(rng.integers(1, 9))):
            raw[int(rng.integers(0, span))] ^= 1 << int(rng.integers(8))
    elif kind == 2:
        raw[at : at + 4] = rng.bytes(4)
    elif kind == 3:
        raw[at : at + 4] = b"\xff\xff\xff\x7f"
    elif kind == 4:
        raw[at : at + 8] = b"\xff" * 8
    elif kind == 5:
        raw[at : at + 4] = b"\0\0\0\0"
    elif kind == 6:
        del raw[at : at + int(rng.integers(1, 64))]
    else:
        raw[at:at] = raw[at : at + int(rng.integers(1, 256))]
    return bytes(raw)
