import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketvision import bundle as bundles
from pocketvision.errors import BundleError, LabelError, OutputExists
from pocketvision.labels import Labels
from pocketvision.model import build
from pocketvision.preprocess import Preprocess, prepare, to_tensor, to_uint8

from .test_spec import inverted, net


@pytest.fixture(scope="module")
def made():
    network = build(net(inverted(8, 16, 8, shortcut=8), c_out=8), seed=1)
    network.train()(torch.randn(4, 3, 32, 32))  # move the running statistics off their start
    labels = {"label": Labels(names=tuple("abcdefghij"))}
    return bundles.bundle_of(
        network, Preprocess(size=(32, 32)), labels, manifest={"command": "test"}
    )


@pytest.fixture
def saved(made, tmp_path):
    return bundles.save(made, tmp_path / "b")


def test_round_trip(made, saved):
    again = bundles.load(saved)
    assert again.spec == made.spec
    assert again.preprocess == made.preprocess
    assert again.labels == made.labels
    assert again.manifest == {"command": "test"}
    for kind in ("weights", "golden"):
        ours, theirs = getattr(made, kind), getattr(again, kind)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(v, theirs[k]) for k, v in ours.items())


def test_golden_vectors_follow_from_the_images(saved):
    again = bundles.load(saved)
    for image, x in zip(again.golden_images, again.golden["input"], strict=True):
        made = to_tensor(to_uint8(image, again.preprocess), again.preprocess)
        np.testing.assert_array_equal(made, x.numpy())
    out = bundles.outputs(again.network(), again.golden["input"])
    torch.testing.assert_close(out["output.label"], again.golden["output.label"])


def test_golden_images_are_kept_small(made):
    image = np.zeros((1200, 700, 3), np.uint8)
    rows = bundles.golden(made, [image])
    assert max(rows["image.0"].shape) <= bundles.GOLDEN_LONGEST_PX


def test_no_bundle_here(tmp_path):
    with pytest.raises(BundleError, match="does not exist"):
        bundles.load(tmp_path / "x")
    (tmp_path / "f").write_text("")
    with pytest.raises(BundleError, match="it is a file"):
        bundles.load(tmp_path / "f")
    with pytest.raises(BundleError, match=r"manifest\.json is missing"):
        bundles.load(tmp_path)


@pytest.mark.parametrize("name", bundles.FILES)
def test_every_damaged_file_is_named(saved, name):
    file = saved / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(BundleError, match=f"{name} is not the file that was saved"):
        bundles.load(saved)
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(BundleError, match=f"{name} is not the file that was saved"):
        bundles.load(saved)
    file.unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        bundles.load(saved)


def rewrite(saved, name, data: bytes):
    """Replace a file and its hash: what only a parser can find."""
    import hashlib

    (saved / name).write_bytes(data)
    manifest = json.loads((saved / "manifest.json").read_text())
    manifest["files"][name] = hashlib.sha256(data).hexdigest()
    (saved / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("name", [n for n in bundles.FILES])
@pytest.mark.parametrize("data", [b"", b"{}", b"\xff" * 64, b"\x08" + b"\0" * 7 + b"[[[[[[[["])
def test_hostile_contents_are_one_line(saved, name, data):
    rewrite(saved, name, data)
    with pytest.raises(BundleError) as e:
        bundles.load(saved)
    assert "\n" not in str(e.value)


def test_weights_of_another_network_are_listed(saved):
    other = build(net(inverted(8, 24, 8, shortcut=8), c_out=8))
    from safetensors.torch import save

    rewrite(saved, "weights.safetensors", save(dict(other.state_dict())))
    with pytest.raises(BundleError, match=r"blocks\.0\.expand\.conv\.weight has shape"):
        bundles.load(saved)


def test_manifest_cannot_name_foreign_files(saved):
    manifest = json.loads((saved / "manifest.json").read_text())
    manifest["files"]["../../etc/passwd"] = "0"
    (saved / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="'files' must map"):
        bundles.load(saved)


def test_labels_must_fit(made):
    with pytest.raises(LabelError, match="10 outputs but 2 labels"):
        bundles.bundle_of(
            made.network(),
            made.preprocess,
            {"label": Labels(names=("a", "b"))},
            manifest={},
        )


def test_existing_bundle_stays(made, saved):
    with pytest.raises(OutputExists):
        bundles.save(made, saved)
    bundles.save(made, saved, overwrite=True)
    shutil.rmtree(saved)


def test_prepare_is_the_golden_path(made, tmp_path):
    from PIL import Image

    file = tmp_path / "a.png"
    Image.fromarray(made.golden_images[0]).save(file)
    np.testing.assert_array_equal(prepare(file, made.preprocess), made.golden["input"][0].numpy())


def test_the_first_release_stays_readable():
    """Written by 0.1.0; whatever changes later must still read it and answer alike."""
    first = bundles.load(Path(__file__).parent / "facts" / "bundle_0.1")
    assert first.labels["label"].names == ("cat", "dog", "naïve")
    assert first.preprocess.resize == "letterbox"
    assert [type(b).__name__ for b in first.spec.blocks] == [
        "Separable",
        "InvertedResidual",
        "Sandglass",
        "LinearBottleneck",
        "Single",
    ]
    out = bundles.outputs(first.network(), first.golden["input"])["output.label"]
    torch.testing.assert_close(out, first.golden["output.label"], rtol=1e-4, atol=1e-5)
    made = [to_tensor(to_uint8(i, first.preprocess), first.preprocess) for i in first.golden_images]
    np.testing.assert_allclose(np.stack(made), first.golden["input"].numpy(), atol=0.02)
