# ruff: noqa: PT017  (whether a damaged file is refused at all is left open)
"""Damaged and hostile files: every reader answers with its own error, in bounded memory, and runs
no code. The damage follows from a fixed seed; the suite's time limit stands for "in bounded time".
"""

import io
import json
import os
import resource
import struct
import sys
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save as save_tensors

from pocketvision.errors import PocketvisionError, WeightsError
from pocketvision.weights import h5_file, read_onnx, read_tflite, tfjs, torch_file
from pocketvision.weights.found import Wishes
from pocketvision.weights.importer import import_file

from .files import mutated, network, saved_h5, saved_pth, saved_tfjs, torchvision_v2
from .tflite_writer import small_float, small_quantized

COUNT = 220
MORE_BYTES = 700 << 20
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def bounded_memory():
    """No test here may raise the largest memory of the process by more than MORE_BYTES."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MORE_BYTES >> 10


def table():
    draw = torch.Generator().manual_seed(0)
    return {f"blocks.{i}.conv.weight": torch.randn(8, 4, 3, 3, generator=draw) for i in range(12)}


def answers(read, data, seed):
    """How many damaged copies were read all the same, and how many refused."""
    rng = np.random.default_rng(seed)
    good = bad = 0
    for _ in range(COUNT):
        try:
            read(mutated(data, rng))
            good += 1
        except PocketvisionError as e:
            assert "\n" not in str(e)
            assert len(str(e)) < 1000
            bad += 1
    return good, bad


@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_pth(kind):
    data = saved_pth(table(), legacy=kind == "legacy")
    good, bad = answers(torch_file.read_pth, data, 1)
    assert good + bad >= 200
    assert bad > 50


def test_safetensors():
    good, bad = answers(torch_file.read_safetensors, save_tensors(table()), 2)
    assert good + bad >= 200
    assert bad > 50


@pytest.mark.parametrize(
    "data", [small_float(swish=True), small_quantized(signed=True)], ids=["float", "int8"]
)
def test_tflite(data):
    good, bad = answers(lambda d: read_tflite.read(d, Wishes()), data, 3)
    assert good + bad >= 200
    assert bad > 50


def test_onnx():
    from .test_onnx import network as small

    data = small().SerializeToString()
    good, bad = answers(lambda d: read_onnx.read(d, Wishes()), data, 4)
    assert good + bad >= 200
    assert bad > 50


def test_tensorflow_js(tmp_path):
    layers = {f"l{i}": {"kernel": np.random.default_rng(i).normal(size=(3, 3, 4, 8))}
              for i in range(6)}  # fmt: skip
    folder = saved_tfjs(tmp_path / "js", layers)
    data = (folder / "model.json").read_bytes()

    def read(text):
        (folder / "model.json").write_bytes(text)
        return tfjs.tensors(tfjs.model(folder / "model.json"), folder)

    good, bad = answers(read, data, 5)
    assert good + bad >= 200
    assert bad > 50


def test_h5(tmp_path):
    """The child's own program in forks of one process: 200 starts of Python take long."""
    pytest.importorskip("h5py")
    layers = {f"l{i}": {"kernel": np.random.default_rng(i).normal(size=(3, 3, 4, 8))}
              for i in range(6)}  # fmt: skip
    data = saved_h5(tmp_path / "w.h5", layers, config="{}").read_bytes()
    rng = np.random.default_rng(6)
    files = []
    for i in range(COUNT):
        files.append(tmp_path / f"{i}.h5")
        files[-1].write_bytes(mutated(data, rng))
    outcomes = forked(files)
    assert len(outcomes) >= 200
    # 0 read, 3 refused; a crash or a limit kills the child alone (negative: the signal).
    assert {c for c in outcomes if c >= 0} <= {0, 3}
    assert sum(c != 0 for c in outcomes) > 50


FORKING = """
import io, os, sys
sys.path.insert(0, {folder!r})
import h5_child, h5py, numpy
codes = []
for path in sys.argv[1:]:
    pid = os.fork()
    if pid == 0:
        sys.stderr = io.StringIO()
        os._exit(h5_child.main(path, io.BytesIO()))
    _, status = os.waitpid(pid, 0)
    codes.append(os.waitstatus_to_exitcode(status))
print(*codes)
"""


def forked(files):
    """Exit codes of the child program for many files."""
    import subprocess

    code = FORKING.format(folder=str(h5_file.CHILD.parent))
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, *map(str, files)], capture_output=True, text=True,
        check=True, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    return [int(c) for c in done.stdout.split()]


@pytest.mark.parametrize("kind", ["w.pth", "w.safetensors", "w.tflite"])
def test_through_the_one_door(tmp_path, kind):
    """Whole networks: what is damaged too little to be noticed still gives a sound bundle."""
    net = network("mobilenet_v2", width=0.35, classes=4, resolution=32)
    data = {
        "w.pth": lambda: saved_pth(torchvision_v2(net)),
        "w.safetensors": lambda: save_tensors(
            {k: v.contiguous() for k, v in torchvision_v2(net).items()}
        ),
        "w.tflite": lambda: small_float(),
    }[kind]()
    rng = np.random.default_rng(7)
    for _ in range(12):
        (tmp_path / kind).write_bytes(mutated(data, rng))
        try:
            made = import_file(tmp_path / kind)
        except PocketvisionError as e:
            assert str(tmp_path / kind) in str(e)
        else:
            assert all(t.isfinite().all() for t in made.bundle.golden.values())


# ------------------------------------------------------------------------------------------ hostile


def rewritten(data, change):
    """A .pth archive with its entries passed through `change(name, bytes, entry)`."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            kind = zipfile.ZIP_STORED
            made = change(info.filename, old.read(info))
            if isinstance(made, tuple):
                made, kind = made
            new.writestr(info.filename, made, kind)
    return out.getvalue()


def test_zip_bomb_in_a_pth():
    zeros = bytes(64 << 20)

    def bomb(name, raw):
        return (zeros, zipfile.ZIP_DEFLATED) if name.endswith("data/0") else raw

    data = rewritten(saved_pth(table()), bomb)
    assert len(data) < 1 << 20
    with pytest.raises(WeightsError, match="is compressed, as PyTorch never writes it"):
        torch_file.read_pth(data)


def test_sizes_that_a_pth_only_claims():
    data = bytearray(saved_pth(table()))
    at = data.rfind(b"PK\x01\x02")  # the last entry of the directory: its two sizes
    data[at + 20 : at + 28] = struct.pack("<II", 1 << 31, 1 << 31)
    with pytest.raises(
        WeightsError, match=r"claims to hold more than its size|not a whole archive"
    ):
        torch_file.read_pth(bytes(data))


def test_a_tensor_that_repeats_one_number():
    out = io.BytesIO()
    torch.save({"w": torch.zeros(1).expand(1 << 40)}, out)
    with pytest.raises(WeightsError, match="repeats its 1 numbers: hostile"):
        torch_file.read_pth(out.getvalue())


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (b"cbuiltins\neval\n(V1+1\ntR.", "wants builtins.eval"),
        (b"cbuiltins\nbytearray\n(L99999999999L\ntR.", "wants builtins.bytearray"),
        (b"\x80\x02" + b"]" * 4_000_000 + b".", "description takes"),
        (b"\x80\x02" + b"]" * 100_000 + b".", "holds a list"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.", "wants os.system"),
        (b"\x80\x02r\xff\xff\xff\x7f.", "not a pickle"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b".", "not a pickle"),
        (b"(" * 100_000 + b"t" * 100_000 + b".", "holds a tuple|too deep"),
    ],
)
def test_hostile_pickles(code, words):
    inside = rewritten(saved_pth(table()), lambda n, raw: code if n.endswith("data.pkl") else raw)
    for data in (inside, code):
        with pytest.raises(WeightsError, match=f"{words}|not a pickle that PyTorch wrote"):
            torch_file.read_pth(data)


def test_deeply_nested_and_huge_json(tmp_path):
    folder = tmp_path / "js"
    folder.mkdir()
    for text in ("[" * 200_000, '{"a":' * 100_000, '{"weightsManifest": 3}', "{}", "null"):
        (folder / "model.json").write_text(text)
        with pytest.raises(WeightsError):
            import_file(folder)


@pytest.mark.parametrize(
    "name", ["../secret.bin", "/etc/passwd", "a/b.bin", "..", "", "a\0b", "..\\secret.bin", 7, None]
)
def test_shards_outside_the_folder(tmp_path, name):
    (tmp_path / "secret.bin").write_bytes(bytes(16))
    folder = tmp_path / "js"
    folder.mkdir()
    weights = [{"name": "w/kernel", "shape": [4], "dtype": "float32"}]
    row = {"weightsManifest": [{"paths": [name], "weights": weights}]}
    (folder / "model.json").write_text(json.dumps(row))
    with pytest.raises(WeightsError, match=r"no plain file name|is missing"):
        import_file(folder)


def test_a_shard_that_is_a_link(tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(16))
    folder = tmp_path / "js"
    folder.mkdir()
    (folder / "w.bin").symlink_to(tmp_path / "secret.bin")
    weights = [{"name": "w/kernel", "shape": [4], "dtype": "float32"}]
    row = {"weightsManifest": [{"paths": ["w.bin"], "weights": weights}]}
    (folder / "model.json").write_text(json.dumps(row))
    with pytest.raises(WeightsError, match="is missing: it must lie beside"):
        import_file(folder)


@pytest.mark.parametrize("shape", [[1 << 39, 1 << 39], [-1], [2.5], ["4"], [True], "4", [1] * 9])
def test_absurd_shapes_in_json(tmp_path, shape):
    folder = tmp_path / "js"
    folder.mkdir()
    (folder / "w.bin").write_bytes(bytes(16))
    weights = [{"name": "w/kernel", "shape": shape, "dtype": "float32"}]
    row = {"weightsManifest": [{"paths": ["w.bin"], "weights": weights}]}
    (folder / "model.json").write_text(json.dumps(row))
    with pytest.raises(WeightsError, match=r"reaches over the end|no shape of whole numbers"):
        import_file(folder)


def hostile_h5(path, way):
    import h5py

    with h5py.File(path, "w") as f:
        group = f.create_group("model_weights/conv1/conv1")
        if way == "absurd shape":  # never written, so that it takes no room
            group.create_dataset("kernel:0", shape=(1 << 20, 1 << 20), dtype="f4")
        elif way == "packed zeros":
            group.create_dataset("kernel:0", data=np.zeros(40 << 20, "f4"), compression="gzip")
        elif way == "another file":
            group.create_dataset("kernel:0", shape=(16,), dtype="f4",
                                 external=[("/etc/passwd", 0, 64)])  # fmt: skip
        elif way == "link":
            group["kernel:0"] = h5py.ExternalLink("/etc/passwd", "/x")
        else:  # a circle of groups, which must end
            group["again"] = f["model_weights"]
            group.create_dataset("kernel:0", data=np.zeros((3, 3, 3, 8), "f4"))
    return path


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("absurd shape", "more than the file can hold"),
        ("packed zeros", "more than the file can hold"),
        ("another file", "keeps its numbers in another file"),
        ("link", "is a link to elsewhere"),
        ("circle", "named as no library|do not fit|no network of the zoo"),
    ],
)
def test_hostile_h5(tmp_path, way, words):
    pytest.importorskip("h5py")
    with pytest.raises(WeightsError, match=words):
        import_file(hostile_h5(tmp_path / "w.h5", way))


def patched_tflite(old, new):
    data = small_float()
    assert data.count(old) >= 1
    return data.replace(old, new)


def test_tflite_offsets_outside_the_file():
    data = small_float()
    for place in range(0, 64, 4):
        for value in (0x7FFFFFFF, 0xFFFFFFFF, len(data), len(data) - 1):
            broken = data[:place] + struct.pack("<I", value & 0xFFFFFFFF) + data[place + 4 :]
            try:
                read_tflite.read(broken, Wishes())
            except WeightsError as e:
                assert "\n" not in str(e)


def test_tflite_claims_a_giant_image():
    size = struct.pack("<iiii", 1, 16, 16, 3)
    giant = struct.pack("<iiii", 1, 1 << 20, 1 << 20, 3)
    with pytest.raises(WeightsError, match="no size that networks here are for"):
        read_tflite.read(patched_tflite(size, giant), Wishes())
    large = struct.pack("<iiii", 1, 2048, 2048, 3)
    made = read_tflite.read(patched_tflite(size, large), Wishes(resolution=(32, 32)))
    assert made.bundle.spec.resolution == (32, 32)
