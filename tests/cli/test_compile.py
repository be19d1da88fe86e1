"""`pocketvision compile`, and the verbs that take what it makes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from pocketvision import preprocess as contract
from pocketvision.cli.main import run
from pocketvision.export.open import open_model
from tests.compiler.output import needs
from tests.export.conftest import bundle_folder, bundle_for, bundles, images, plain  # noqa: F401

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")


@pytest.fixture(autouse=True)
def no_cc(monkeypatch):
    monkeypatch.delenv("CC", raising=False)


def answer(capsys, *argv):
    """(exit code, stdout, stderr) of the command."""
    code = run([str(a) for a in argv])
    got = capsys.readouterr()
    return code, got.out, got.err


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    from pocketvision.bundle import save

    return save(bundle_for(plain()), tmp_path_factory.mktemp("bundle") / "plain")


@pytest.fixture(scope="module")
def folder(bundle, tmp_path_factory):
    """The bundle compiled for this machine; not to be changed."""
    made = tmp_path_factory.mktemp("compiled") / "out"
    assert run(["compile", str(bundle), "-o", str(made)]) == 0
    return made


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An .onnx file of another program: no metadata, its size left open."""
    w = np.random.default_rng(0).standard_normal((6, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 6])
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(w, "w")])
    path = tmp_path_factory.mktemp("onnx") / "Other Net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


# ------------------------------------------------------------------------------------------ bundles


def test_the_folder_is_complete(bundle, folder):
    names = {f.name for f in folder.iterdir()}
    assert names >= {
        "model.c", "model.h", "weights.bin", "weights.S", "weights.c", "test.c", "golden.bin",
        "example.c", "CMakeLists.txt", "README.md", "libplain.so", "metadata.json",
        "preprocess.json", "labels.json", "labels.txt", "golden.safetensors", "parity.json",
        "manifest.json",
    }  # fmt: skip
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["kind"], manifest["backend"]) == ("artifact", "compiled")
    assert {*manifest["files"], *manifest["editable"]} == names - {"manifest.json"}
    assert json.loads((folder / "parity.json").read_text())["max_rel"] < 1e-5


def test_it_answers_like_the_bundle(bundle, folder, tmp_path, capsys):
    for i, image in enumerate(images(3)):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    rows = []
    for place in (bundle, folder):
        code, out, _ = answer(capsys, "predict", place, tmp_path, "--json")
        assert code == 0
        rows.append(json.loads(out)["answers"])
    for a, b in zip(*rows, strict=True):
        assert [t["label"] for t in a["top"]] == [t["label"] for t in b["top"]]
        assert a["top"][0]["probability"] == pytest.approx(b["top"][0]["probability"], abs=1e-5)


def test_its_c_prepares_images_like_python(folder):
    opened = open_model(folder, threads=1)
    image = images(1)[0]
    made = opened.runtime.library.preprocess(image)
    assert np.abs(made - contract.prepare(image, opened.preprocess)).max() < 1e-5


def test_bench_and_eval_take_it(bundle, folder, tmp_path, capsys):
    code, out, _ = answer(capsys, "bench", bundle, folder, "--rounds", 3, "--threads", 1, "--json")
    assert code == 0
    row = next(r for r in json.loads(out)["rows"] if r["runtime"] == "compiled")
    assert row["threads"] == 1
    weights = (folder / "weights.bin").stat().st_size
    assert row["size_bytes"] == weights + (folder / "libplain.so").stat().st_size
    assert row["model_bytes"] > 0
    names = json.loads((folder / "labels.json").read_text())["heads"]["label"]["names"]
    for i, image in enumerate(images(8)):
        for split in ("train", "val"):
            place = tmp_path / "data" / split / names[i % 4].replace("/", "")
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place / f"{i}.png")
    found = []
    for place in (bundle, folder):
        code, out, err = answer(capsys, "eval", place, tmp_path / "data", "--json")
        assert code == 0, err
        found.append(json.loads(out))
    assert found[0]["confusion"] == found[1]["confusion"]
    assert found[0]["loss"] == pytest.approx(found[1]["loss"], abs=1e-5)


def test_json_tells_the_plan(bundle, tmp_path, capsys):
    code, out, err = answer(capsys, "compile", bundle, "-o", tmp_path / "c", "--json", "--name",
                            "my_net", "--target", "c99")  # fmt: skip
    row = json.loads(out)
    assert code == 0
    assert (row["name"], row["target"]) == ("my_net", "c99")
    assert row["macs"] == sum(s["macs"] for s in row["steps"])
    assert 0 < row["arena_bytes"]["1"] <= row["arena_bytes"]["2"]
    assert row["weights_bytes"] == (tmp_path / "c" / "weights.bin").stat().st_size
    assert row["library_bytes"] == (tmp_path / "c" / "libmy_net.so").stat().st_size
    assert row["parity"]["max_rel"] < 1e-5
    assert "next: pocketvision bench" in err
    assert "my_net_run" in (tmp_path / "c" / "model.h").read_text()


def test_sources_are_the_same_bytes_again(bundle, tmp_path, capsys):
    made = []
    for place in ("a", "b"):
        code, _, _ = answer(capsys, "compile", bundle, "-o", tmp_path / place, "--target", "c99",
                            "--no-build")  # fmt: skip
        assert code == 0
        made.append({f.name: f.read_bytes() for f in (tmp_path / place).iterdir()})
    assert made[0] == made[1]
    code, _, err = answer(capsys, "bench", tmp_path / "a")
    assert code == 3
    assert "holds sources only" in err


def test_two_models_at_once_and_a_batch(folder):
    from concurrent.futures import ThreadPoolExecutor

    opened = open_model(folder, threads=2)
    x = np.random.default_rng(0).standard_normal((6, 3, 32, 32)).astype(np.float32)
    alone = [opened.runtime(x[i : i + 1])["label"][0] for i in range(6)]
    assert np.array_equal(opened.runtime(x)["label"], np.stack(alone))
    others = [open_model(folder, threads=n).runtime for n in (1, 2, 3)]
    with ThreadPoolExecutor(6) as pool:
        found = [*pool.map(lambda i: others[i % 3](x)["label"], range(24))]
    assert all(np.array_equal(y, np.stack(alone)) for y in found)


# ----------------------------------------------------------------------------------- others' files


def test_a_file_of_another_program(model, tmp_path, capsys):
    code, out, err = answer(capsys, "compile", model, "-o", tmp_path / "c", "--input-shape",
                            "x=1,3,12,20", "--json")  # fmt: skip
    assert code == 0, err
    row = json.loads(out)
    assert (row["name"], row["macs"]) == ("other_net", 12 * 20 * 27 * 6)
    assert row["parity"]["a"] == "onnxruntime f32"
    assert answer(capsys, "bench", tmp_path / "c", "--rounds", 3, "--no-memory")[0] == 0
    Image.fromarray(images(1)[0]).save(tmp_path / "i.png")
    for verb, what in (("predict", tmp_path / "i.png"), ("eval", "digits")):
        code, _, err = answer(capsys, verb, tmp_path / "c", what)
        assert code == 3
        assert "does not say" in err


def test_a_file_without_its_shape(model, tmp_path, capsys):
    code, _, err = answer(capsys, "compile", model, "-o", tmp_path / "c")
    assert (code, [*tmp_path.iterdir()]) == (2, [])
    assert "--input-shape x=" in err


def test_an_exported_file_brings_its_contract(bundle, folder, tmp_path, capsys):
    assert answer(capsys, "export", bundle, "--output", tmp_path / "onnx")[0] == 0
    for source in (tmp_path / "onnx", tmp_path / "onnx" / "model.onnx"):
        code, _, err = answer(capsys, "compile", source, "-o", tmp_path / "c", "--overwrite")
        assert code == 0, err
        opened = open_model(tmp_path / "c", threads=1)
        assert opened.labels == open_model(folder, threads=1).labels
        assert (tmp_path / "c" / "labels.txt").exists()


# ------------------------------------------------------------------------------------ what is wrong


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--target", "x86-64-v5"], 2, "did you mean 'x86-64-v"),
        (["--target", "avx"], 2, "native, x86-64-v4, x86-64-v3, aarch64, wasm32, c99"),
        (["--name", "3-d"], 2, "try --name net_3_d"),
        (["--threads", "0"], 2, "threads must be from 1 to 64, got 0"),
        (["--compiler", "no-such-cc"], 5, "'no-such-cc' is not here"),
        (["--compiler", "false"], 1, "false failed"),
        (["--input-shape", "x=1,3,8,8"], 2, "--input-shape is for .onnx files"),
        (["--input-shape", "1,3,8,8"], 2, "must be like x=1,3,48,192"),
        (["--traget", "c99"], 2, 'Did you mean "--target"'),
    ],
)
def test_wrong_options_leave_nothing(bundle, tmp_path, capsys, options, code, words):
    got, _, err = answer(capsys, "compile", bundle, "-o", tmp_path / "c", *options)
    assert got == code, err
    assert words.replace('"', "") in err.replace('"', "")
    assert err.count("\n") == 1
    assert [*tmp_path.iterdir()] == []


def test_wrong_models(tmp_path, capsys):
    code, _, err = answer(capsys, "compile", tmp_path / "nowhere", "-o", tmp_path / "c")
    assert (code, "no model at" in err) == (3, True)
    (tmp_path / "a.txt").write_text("x")
    code, _, err = answer(capsys, "compile", tmp_path / "a.txt", "-o", tmp_path / "c")
    assert (code, "is not an .onnx file" in err) == (2, True)
    (tmp_path / "a.onnx").write_bytes(b"x")
    assert answer(capsys, "compile", tmp_path / "a.onnx", "-o", tmp_path / "c")[0] == 3
    assert not (tmp_path / "c").exists()


def test_an_existing_folder_stays(bundle, folder, capsys):
    before = {f.name: f.stat().st_mtime_ns for f in folder.iterdir()}
    code, _, err = answer(capsys, "compile", bundle, "-o", folder)
    assert (code, "--overwrite" in err) == (2, True)
    assert {f.name: f.stat().st_mtime_ns for f in folder.iterdir()} == before


def test_a_wrong_library_is_not_written(bundle, tmp_path, capsys, monkeypatch):
    """The gate can fail: weights are changed behind the plan's back."""
    from pocketvision.compiler import plan

    honest = plan.plan

    def lying(*arguments):
        program = honest(*arguments)
        program.weights[:] *= 1.001
        return program

    monkeypatch.setattr(plan, "plan", lying)
    code, _, err = answer(capsys, "compile", bundle, "-o", tmp_path / "c")
    assert (code, [*tmp_path.iterdir()]) == (4, [])
    assert "does not pass its test" in err
    assert "nothing was written" in err


def test_cc_is_heeded_here_and_not_for_other_machines(bundle, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CC", "no-such-cc")
    code, _, err = answer(capsys, "compile", bundle, "-o", tmp_path / "c")
    assert (code, "no-such-cc" in err) == (5, True)
    needs("clang", "wasm-ld", "node")
    code, _, err = answer(capsys, "compile", bundle, "-o", tmp_path / "c", "--target", "wasm32")
    assert code == 0, err
    code, _, err = answer(capsys, "predict", tmp_path / "c", "x.png")
    assert (code, "compiled for wasm32" in err) == (3, True)


def test_a_changed_library_is_not_opened_but_sources_may_change(folder, tmp_path, capsys):
    copy = shutil.copytree(folder, tmp_path / "c")
    with (copy / "example.c").open("a") as f:
        f.write("/* mine */\n")
    (copy / "build").mkdir()
    open_model(copy, threads=1)
    with (copy / "libplain.so").open("ab") as f:
        f.write(b"x")
    code, _, err = answer(capsys, "bench", copy)
    assert (code, "is not the file that was exported" in err) == (3, True)


def test_an_interrupt_leaves_nothing(bundle, tmp_path):
    """Ctrl-C while the compiler runs: exit code 130 and no folder."""
    slow = tmp_path / "slow-cc"
    slow.write_text("#!/bin/sh\ntouch started\nexec sleep 60\n")
    slow.chmod(0o755)
    (tmp_path / "d").mkdir()
    code = (
        "import os, signal, sys, threading, time\n"
        "from pathlib import Path\n"
        "def stop():\n"
        "    while not [*Path('d').glob('.tmp-*/started')]: time.sleep(0.05)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        # A shell that puts its jobs into the background has them ignore it.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "threading.Thread(target=stop, daemon=True).start()\n"
        "from pocketvision.cli.main import run\n"
        f"sys.exit(run(['compile', {str(bundle)!r}, '-o', 'd/c', '--target', 'c99',"
        f" '--compiler', {str(slow)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True,
                          text=True, timeout=120)  # fmt: skip
    assert done.returncode == 130, done.stderr
    assert "interrupted" in done.stderr
    assert [*(tmp_path / "d").iterdir()] == []
