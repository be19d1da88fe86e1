"""Files of every source through the one door: the same numbers and answers, a plain report."""

import io
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save as save_tensors

from pocketvision import bundle as bundles
from pocketvision.errors import UsageError, WeightsError
from pocketvision.weights.found import Wishes, labels_of
from pocketvision.weights.importer import import_file
from pocketvision.weights.match import Mismatch

from .files import (
    keras_config,
    keras_v1,
    network,
    saved_h5,
    saved_numbered,
    saved_pth,
    saved_tfjs,
    torchvision_v2,
)

h5py = pytest.importorskip("h5py")
V1 = {"width": 0.25, "resolution": 64, "classes": 7, "numerics": "keras"}


@pytest.fixture(scope="module")
def v1():
    return network("mobilenet_v1", **V1)


@pytest.fixture(scope="module")
def v2():
    return network("mobilenet_v2", width=0.35, classes=6, resolution=224)


def same_answers(made, net, size=64):
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y, z = made.bundle.network()(x), net(x)
    return float((y - z).abs().max() / z.abs().max()) < 1e-5


# ------------------------------------------------------------------------------------------ PyTorch


@pytest.mark.parametrize("kind", ["zip", "legacy", "wrapped", "safetensors"])
def test_pytorch_files(tmp_path, v2, kind):
    state = torchvision_v2(v2)
    data = {
        "zip": lambda: saved_pth(state),
        "legacy": lambda: saved_pth(state, legacy=True),
        "wrapped": lambda: saved_pth(
            {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}
        ),
        "safetensors": lambda: save_tensors({k: v.contiguous() for k, v in state.items()}),
    }[kind]()
    file = tmp_path / "some_weights"  # the bytes say what it is
    file.write_bytes(data)
    made = import_file(file)
    assert same_answers(made, v2)
    assert made.found.source == "torchvision"
    assert made.found.model == "mobilenet_v2 width 0.35"
    assert made.found.facts["batch-norm"] == "52 kept, epsilon 1e-05"
    assert made.bundle.manifest["origin"]["file"] == "some_weights"


def test_bundle_of_an_import_loads_again(tmp_path, v2):
    file = tmp_path / "w.pth"
    file.write_bytes(saved_pth(torchvision_v2(v2)))
    folder = bundles.save(import_file(file).bundle, tmp_path / "bundle")
    again = bundles.load(folder)
    assert again.manifest["made_by"] == "import"
    assert again.preprocess.mean == pytest.approx((0.485, 0.456, 0.406))
    assert again.labels["label"].names == ("0", "1", "2", "3", "4", "5")


def test_the_config_that_hubs_keep_beside_the_file_decides(tmp_path):
    """timm's ports have the same tensors as its own networks: only the name tells them apart."""
    from .test_golden import FACTS, state_of

    fact = FACTS["timm-1.0.31__tf_mobilenetv3_small_075"]
    state = {k: v.float() for k, v in state_of(fact).items()}
    (tmp_path / "model.safetensors").write_bytes(save_tensors(state))
    plain = import_file(tmp_path / "model.safetensors")
    assert plain.bundle.spec.numerics.padding == "symmetric"
    assert any("tf_mobilenetv3_small_075 too" in line for line in plain.found.assumed)
    row = {"architecture": "tf_mobilenetv3_small_075",
           "pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "crop_pct": 0.9,
                              "interpolation": "bilinear"}}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(row))
    told = import_file(tmp_path / "model.safetensors")
    assert told.bundle.spec.numerics.padding == "same"
    assert told.bundle.spec.numerics.bn_epsilon == 1e-3
    assert told.bundle.preprocess.mean == (0.5, 0.5, 0.5)
    assert told.bundle.preprocess.crop_fraction == 0.9
    asked = import_file(
        tmp_path / "model.safetensors", Wishes(model="mobilenetv3_small_075", scaling="0..1")
    )
    assert asked.bundle.spec.numerics.padding == "symmetric"
    assert asked.bundle.preprocess.std == (1.0, 1.0, 1.0)


# -------------------------------------------------------------------------------------------- Keras


@pytest.mark.parametrize("kind", ["model.h5", "plain.h5", "new.weights.h5", "model.keras"])
def test_keras_files(tmp_path, v1, kind):
    layers, file = keras_v1(v1), tmp_path / kind
    if kind == "new.weights.h5":
        saved_numbered(file, layers)
    elif kind == "model.keras":
        import zipfile

        with zipfile.ZipFile(file, "w") as z:
            z.write(saved_numbered(tmp_path / "inner.h5", layers), "model.weights.h5")
            z.writestr("config.json", keras_config(64))
    else:
        whole = kind == "model.h5"
        saved_h5(file, layers, config=keras_config(64) if whole else None, suffix=":0" if whole
                 else "", root="model_weights" if whole else "")  # fmt: skip
    made = import_file(file)
    assert same_answers(made, v1)
    spec = made.bundle.spec
    assert (made.found.model, spec.numerics.padding) == ("mobilenet_v1 width 0.25", "bottom_right")
    assert made.found.facts["input"] == "RGB, -1..1"
    known = kind in ("model.h5", "model.keras")
    assert spec.resolution == ((64, 64) if known else (224, 224))
    assert any("size of the input" in line for line in made.found.assumed) is not known


def test_what_a_keras_description_says_counts(tmp_path, v1):
    config = keras_config(96, relu=None, epsilon=0.01)
    made = import_file(saved_h5(tmp_path / "w.h5", keras_v1(v1), config=config))
    spec = made.bundle.spec
    assert spec.stem.act == spec.blocks[3].depthwise.act == "relu"
    assert spec.numerics.bn_epsilon == 0.01
    assert spec.resolution == (96, 96)
    odd = keras_config(96).replace('"ReLU"', '"Activation"')
    odd = odd.replace('"max_value": 6.0', '"activation": "selu"')
    with pytest.raises(WeightsError, match="activation 'selu', which mobilenet_v1 has not"):
        import_file(saved_h5(tmp_path / "odd.h5", keras_v1(v1), config=odd))


@pytest.mark.parametrize("packed", [False, True])
def test_tensorflow_js(tmp_path, v1, packed):
    topology = json.loads(keras_config(64))
    folder = saved_tfjs(tmp_path / "js", keras_v1(v1), topology=topology, shards=3, packed=packed)
    made = import_file(folder)
    assert made.found.source == "tfjs"
    assert made.bundle.spec.resolution == (64, 64)
    mine, theirs = made.bundle.weights, v1.state_dict()
    # Eight bits over the range of each kernel: half a step of error.
    for key in ("stem.conv.weight", "blocks.5.pointwise.conv.weight"):
        step = float(np.ptp(theirs[key].numpy())) / 255
        assert float((mine[key] - theirs[key]).abs().max()) <= (0.51 * step if packed else 0)
    assert import_file(folder / "model.json").bundle.spec == made.bundle.spec


def test_tensorflow_js_with_a_head_of_matrices(tmp_path, v1):
    """Teachable Machine's files: a trunk, two matrices, labels beside them."""
    layers = {k: v for k, v in keras_v1(v1).items() if k != "conv_preds"}
    rng = np.random.default_rng(0)
    first, last = rng.normal(size=(256, 10)), rng.normal(size=(10, 3))
    bias = rng.normal(size=10)
    layers["dense_Dense1"] = {"kernel": first, "bias": bias}
    layers["dense_Dense2"] = {"kernel": last}
    dense = [
        {"class_name": "Dense", "config": {"name": f"dense_Dense{i}", "activation": act}}
        for i, act in ((1, "relu"), (2, "softmax"))
    ]
    topology = json.loads(keras_config(64))
    topology["config"]["layers"] += dense
    folder = saved_tfjs(tmp_path / "js", layers, topology=topology)
    (folder / "metadata.json").write_text(json.dumps({"labels": ["a", "b", "c"]}))
    made = import_file(folder)
    assert made.bundle.labels["label"].names == ("a", "b", "c")
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        y = made.bundle.network()(x).numpy()
        pooled = v1.trunk(x).mean((2, 3)).numpy()
    by_hand = np.maximum(pooled @ first + bias, 0) @ last
    assert np.abs(y - by_hand).max() < 1e-4 * np.abs(by_hand).max()


# --------------------------------------------------------------------------------------- mismatches


def changed(state, kind):
    state = dict(state)
    if kind == "missing":
        del state["features.5.conv.1.1.bias"]
    elif kind == "unexpected":
        state["features.20.0.weight"] = torch.zeros(3, 3, 1, 1)
    elif kind == "shape":
        state["features.4.conv.1.0.weight"] = torch.zeros(48, 1, 5, 5)
    else:
        for leaf in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            del state[f"features.7.conv.0.1.{leaf}"]
    return state


@pytest.mark.parametrize(
    ("kind", "count", "words"),
    [
        ("missing", 1, "missing blocks.4.depthwise.norm.bias (96,), as features.5.conv.1.1.bias"),
        ("unexpected", 1, "unexpected features.20.0.weight (3, 3)"),
        ("shape", 1, "shape blocks.3.depthwise.conv.weight (48, 1, 3, 3) does not fit "
                     "features.4.conv.1.0.weight (48, 1, 5, 5)"),
        ("norm", 4, "missing blocks.6.expand.norm.weight (96,)"),
    ],
)  # fmt: skip
def test_differences_tensor_by_tensor(tmp_path, kind, count, words):
    net = network("mobilenet_v2", width=0.35, classes=6)
    file = tmp_path / "w.pth"
    file.write_bytes(saved_pth(changed(torchvision_v2(net), kind)))
    with pytest.raises(Mismatch) as e:
        import_file(file)
    assert f"{file}: weights do not fit mobilenet_v2 width 0.35, the nearest" in str(e.value)
    assert e.value.differences[0].startswith(words)
    assert len(e.value.differences) == count


def test_a_named_network_shows_only_what_differs(tmp_path):
    net = network("mobilenet_v2", classes=6)
    for kind, count in (("missing", 1), ("unexpected", 1), ("norm", 4)):
        file = tmp_path / f"{kind}.pth"
        file.write_bytes(saved_pth(changed(torchvision_v2(net), kind)))
        with pytest.raises(Mismatch) as e:
            import_file(file, Wishes(model="torchvision/mobilenet_v2"))
        assert len(e.value.differences) == count
        assert e.value.differences[0].startswith(kind if kind != "norm" else "missing")


def test_names_of_nobody(tmp_path):
    file = tmp_path / "w.pth"
    file.write_bytes(saved_pth({"encoder.attention.weight": torch.zeros(4, 4)}))
    with pytest.raises(WeightsError, match="named as no library that is read"):
        import_file(file)


# ------------------------------------------------------------------------------------------ details


def test_grey_images_and_bgr(tmp_path):
    grey = network("mobilenet_v2", width=0.35, classes=4, in_channels=1)
    file = tmp_path / "grey.pth"
    file.write_bytes(saved_pth(torchvision_v2(grey)))
    made = import_file(file)
    assert made.bundle.spec.in_channels == made.bundle.preprocess.channels == 1
    colour = network("mobilenet_v2", width=0.35, classes=4)
    file = tmp_path / "bgr.pth"
    file.write_bytes(saved_pth(torchvision_v2(colour)))
    made = import_file(file, Wishes(bgr=True))
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(made.bundle.network()(x), colour(x.flip(1)), atol=1e-5)


def test_labels():
    assert labels_of(1001, None).background == 0
    assert labels_of(1001, None).names[:3] == ("background", "0", "1")
    thousand = tuple(f"c{i}" for i in range(1000))
    assert labels_of(1001, thousand).names[:2] == ("background", "c0")
    assert labels_of(3, ("crane", "crane", "ant")).names == ("crane (0)", "crane (1)", "ant")
    with pytest.raises(UsageError, match="2 labels were given for 3 outputs"):
        labels_of(3, ("a", "b"))
    with pytest.raises(UsageError, match="no input scaling 'imagnet'; did you mean 'imagenet'"):
        Wishes(scaling="imagnet")


def test_files_that_are_none(tmp_path):
    with pytest.raises(WeightsError, match="there is no such file"):
        import_file(tmp_path / "none.pth")
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(WeightsError, match="no kind that is read"):
        import_file(tmp_path / "a.txt")
    (tmp_path / "empty.pth").write_bytes(b"")
    with pytest.raises(WeightsError, match="not a pickle"):
        import_file(tmp_path / "empty.pth")
    (tmp_path / "folder").mkdir()
    with pytest.raises(WeightsError, match="cannot read"):
        import_file(tmp_path / "folder")


def test_numbers_that_are_none_are_refused(tmp_path):
    state = torchvision_v2(network("mobilenet_v2", width=0.35, classes=4))
    state["features.3.conv.0.0.weight"][0, 0] = float("nan")
    file = tmp_path / "w.pth"
    file.write_bytes(saved_pth(state))
    with pytest.raises(WeightsError, match="not finite"):
        import_file(file)


def test_what_a_pickle_wants_is_named_and_not_run(tmp_path):
    flag = tmp_path / "ran"

    class Attack:
        def __reduce__(self):
            import os

            return os.system, (f"touch {flag}",)

    for legacy in (False, True):
        out = io.BytesIO()
        torch.save({"a": Attack()}, out, _use_new_zipfile_serialization=not legacy)
        file = tmp_path / "attack.pth"
        file.write_bytes(out.getvalue())
        with pytest.raises(WeightsError, match=r"wants (posix|nt)\.system.*not loaded"):
            import_file(file)
    assert not flag.exists()
