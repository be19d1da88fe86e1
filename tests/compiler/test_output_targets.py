"""Every target: built, its test run here or under what stands in for its machine."""

from __future__ import annotations

import pytest

from pocketvision.compiler import build, runtime
from pocketvision.compiler.targets import TARGETS
from pocketvision.errors import BundleError, MissingRuntime, ParityError, PocketvisionError
from tests.compiler.output import needs, network, write


def runner_of(name: str) -> None:
    target = build.here(TARGETS[name])
    if not any(build.shutil.which(c) for c in target.compilers):
        pytest.skip(f"no compiler for {name} (make test-targets installs one)")
    if name == "wasm32":
        needs("wasm-ld")
    if build.runner(target) is None:
        why = f"{target.runner[0]} is not installed" if target.runner else "not this processor"
        pytest.skip(f"{name} cannot run here: {why}")


@pytest.mark.parametrize("name", TARGETS)
def test_target_passes_its_test(name, tmp_path):
    runner_of(name)
    net = network(name)
    built = build.build(write(net, tmp_path / "f"), net)
    assert built.tested is not None
    assert built.tested.endswith("ok")
    assert (tmp_path / "f" / built.library).stat().st_size > 1000
    if build.runs(name):
        loaded = runtime.load(tmp_path / "f", threads=2)
        assert loaded.threads == 2
        # The whole block that tiny_memory asks for: the arena and little more.
        assert 0 < loaded.memory_bytes(1) - net.program.arena_bytes(1) < 32_768


def test_building_twice_gives_the_same_library(tmp_path):
    needs("gcc")
    net = network("c99")
    libraries = []
    for place in ("one", "another"):
        folder = write(net, tmp_path / place)
        libraries.append((folder / build.build(folder, net).library).read_bytes())
    assert libraries[0] == libraries[1]


def test_native_is_the_best_that_runs_here():
    found = build.chosen("native")
    assert build.runs(found.name)
    better = list(TARGETS)[: list(TARGETS).index(found.name)]
    assert not any(build.runs(n) for n in better)


# ------------------------------------------------------------------------------------ what can fail


def test_no_compiler_names_the_package(monkeypatch):
    monkeypatch.setattr(build.shutil, "which", lambda _: None)
    for name, package in {"c99": "gcc", "aarch64": "gcc", "wasm32": "clang lld"}.items():
        with pytest.raises(MissingRuntime, match=f"apt-get install {package}") as caught:
            build.compiler(TARGETS[name])
        assert caught.value.exit_code == 5
    with pytest.raises(MissingRuntime, match="'mycc' is not here"):
        build.compiler(TARGETS["c99"], "mycc")


def test_the_first_error_of_the_compiler_is_shown(tmp_path):
    needs("gcc")
    net = network("c99")
    folder = write(net, tmp_path / "f")
    text = (folder / "model.c").read_text()
    (folder / "model.c").write_text(text.replace("int32_t in, out,", "int33_t in, out,", 1))
    with pytest.raises(PocketvisionError, match=r"gcc failed: model.c:\d+:\d+: error: .*int33_t"):
        build.build(folder, net, given="gcc")


def test_a_library_that_answers_otherwise_fails(tmp_path):
    needs("gcc")
    net = network("c99")
    folder = write(net, tmp_path / "f")
    data = bytearray((folder / "golden.bin").read_bytes())
    data[-2] ^= 0x41
    (folder / "golden.bin").write_bytes(bytes(data))
    with pytest.raises(ParityError, match=r"does not pass its test .*largest relative error"):
        build.build(folder, net)


def test_a_library_that_crashes_fails(tmp_path):
    needs("gcc")
    net = network("c99")
    folder = write(net, tmp_path / "f")
    text = (folder / "test.c").read_text()
    (folder / "test.c").write_text(text.replace("double worst = 0.0;", "abort(); double worst;"))
    with pytest.raises(ParityError, match=r"\(signal 6\)"):
        build.build(folder, net)


def test_foreign_weights_are_refused(tmp_path):
    needs("gcc")
    net = network("c99")
    folder = write(net, tmp_path / "f")
    build.build(folder, net)
    weights = (folder / "weights.bin").read_bytes()
    for wrong in (weights[:-4], weights + b"\0\0\0\0", bytes(len(weights)), b""):
        (folder / "weights.bin").write_bytes(wrong)
        with pytest.raises(BundleError, match="of another network, damaged or cut short"):
            runtime.load(folder)
    (folder / "weights.bin").unlink()
    with pytest.raises(BundleError, match=r"weights\.bin is missing"):
        runtime.load(folder)


def test_a_file_that_is_no_library(tmp_path):
    folder = write(network("c99"), tmp_path / "f")
    with pytest.raises(BundleError, match="compiled with --no-build"):
        runtime.load(folder)
    (folder / "libtiny.so").write_bytes(b"\x7fELF no")
    with pytest.raises(BundleError, match="cannot be loaded here"):
        runtime.load(folder)
    (folder / "metadata.json").write_text("{}")
    with pytest.raises(BundleError, match=r"metadata.json is damaged"):
        runtime.load(folder)
