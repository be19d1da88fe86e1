"""A compiled folder as C: clean for every compiler, complete, reproducible, safe to use wrongly."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pocketvision.compiler import api, build
from pocketvision.compiler.emit import checksum
from pocketvision.compiler.project import sources
from pocketvision.compiler.targets import TARGETS
from pocketvision.errors import DataError, UsageError
from tests.compiler.output import COMPILERS, CONTRACT, call, linked, needs, network, small, write

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2")
RUNNABLE = [n for n in ("x86-64-v4", "x86-64-v3", "aarch64", "c99") if build.runs(n)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Sources by target, written once."""
    root, made = tmp_path_factory.mktemp("folders"), {}

    def get(target, **options):
        key = (target, *sorted(map(str, options.items())))
        if key not in made:
            made[key] = write(network(target, **options), root / str(len(made)))
        return made[key]

    return get


@pytest.mark.parametrize(("compiler", "target"), COMPILERS)
def test_no_compiler_has_anything_to_say(folders, compiler, target, tmp_path):
    needs(compiler)
    folder = folders(target)
    flags = [*COMPILERS[compiler, target], *TARGETS[target].flags]
    parts = ["model.c", "weights.c"]
    parts += ["wasm_libc.c"] if target == "wasm32" else ["test.c", "example.c"]
    if compiler == "clang" and target == "aarch64":
        parts = parts[:2]  # the others need that machine's own headers
    if "--target=aarch64-linux-gnu" in flags:
        needs("aarch64-linux-gnu-gcc")  # brings its headers
    for part in parts:
        call(compiler, *STRICT, *flags, "-c", part, "-o", tmp_path / "x.o", cwd=folder)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_a_network_without_contract_is_clean_too(folders, compiler, tmp_path):
    needs(compiler)
    folder = folders("c99", contract=None)
    assert "preprocess" not in (folder / "model.h").read_text()
    for part in ("model.c", "test.c", "example.c"):
        call(compiler, *STRICT, "-c", part, "-o", tmp_path / "x.o", cwd=folder)
    program = linked(compiler, folder, ["test.c", "model.c"], f"test_{compiler}")
    assert "ok" in call(program, "weights.bin", "golden.bin", "2", cwd=folder)


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_the_header_serves_cpp(folders, compiler, tmp_path):
    needs(compiler, "gcc")
    folder = folders("c99")
    (tmp_path / "use.cpp").write_text(
        '#include "model.h"\n#include <cstdio>\n'
        'int main() { std::printf("%s", tiny_labels(0)[0]); return tiny_error(0) == nullptr; }\n'
    )
    call("gcc", "-std=c99", "-c", folder / "model.c", "-o", "m.o", cwd=tmp_path)
    strict = ("-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
    call(compiler, *strict, f"-I{folder}", "use.cpp", "m.o", "-o", "use", "-lm", "-pthread",
         cwd=tmp_path)  # fmt: skip
    assert call(tmp_path / "use", cwd=tmp_path) == "katze 猫"


def test_only_prefixed_names_are_seen(folders, tmp_path):
    needs("gcc", "nm")
    call("gcc", "-std=c99", "-c", folders("c99") / "model.c", "-o", "m.o", cwd=tmp_path)
    names = call("nm", "-g", "--defined-only", "m.o", cwd=tmp_path).split()[2::3]
    assert len(names) == 14
    assert all(n.startswith("tiny_") for n in names)


def test_two_networks_in_one_program(folders, tmp_path):
    needs("gcc")
    one, two = folders("c99"), folders("c99", name="other")
    (tmp_path / "both.c").write_text(
        f'#include "{one}/model.h"\n#include "{two}/model.h"\n'
        "int main(void) { return tiny_memory(1) != other_memory(1) || tiny_memory(0) != 0; }\n"
    )
    parts = ["both.c", str(one / "model.c"), str(two / "model.c")]
    call(linked("gcc", tmp_path, parts, "both"), cwd=tmp_path)


def test_the_same_network_gives_the_same_bytes():
    assert sources(network("x86-64-v3")) == sources(network("x86-64-v3"))


def test_weights_as_source_are_the_file(folders):
    needs("gcc")
    folder = folders("c99")
    (folder / "dump.c").write_text(
        '#include <stdio.h>\n#include "model.h"\n'
        "int main(void) { return fwrite(tiny_weights, 1, TINY_WEIGHTS_BYTES, stdout) !="
        " TINY_WEIGHTS_BYTES || (size_t)tiny_weights % 64; }\n"
    )
    expected = (folder / "weights.bin").read_bytes()
    for part in ("weights.c", "weights.S"):
        program = linked("gcc", folder, ["dump.c", part], "dump")
        done = subprocess.run([program], capture_output=True, check=True)
        assert done.stdout == expected


def test_checksum_sees_a_bit_an_order_and_a_length():
    w = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    turned, flipped = w.copy(), w.copy()
    turned[[3, 4]] = turned[[4, 3]]
    flipped.view(np.uint32)[500] ^= 1
    assert len({checksum(x) for x in (w, turned, flipped, w[:-1], np.append(w, 0.0))}) == 5


# ------------------------------------------------------------------------------ tests that can fail


@pytest.mark.parametrize("what", ["golden.bin", "weights.bin"])
def test_a_wrong_byte_fails_the_test(folders, what, tmp_path):
    needs("gcc")
    folder = write(network("c99"), tmp_path / "f")
    program = linked("gcc", folder, ["test.c", "model.c"], "test")
    data = bytearray((folder / what).read_bytes())
    data[-2] ^= 0x41
    (folder / what).write_bytes(bytes(data))
    done = subprocess.run([program], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1
    assert ("FAILED" in done.stdout) if what == "golden.bin" else ("weights" in done.stderr)


# --------------------------------------------------------------------------------------- sanitizers


def runs_sanitized(compiler, kind, tmp_path) -> bool:
    """Whether the compiler has the sanitizer, and this machine runs it."""
    (tmp_path / "try.c").write_text("int main(void) { return 0; }\n")
    made = subprocess.run(
        [compiler, f"-fsanitize={kind}", "try.c", "-o", "try"], cwd=tmp_path, capture_output=True
    )
    return made.returncode == 0 and subprocess.run([tmp_path / "try"]).returncode == 0


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("target", [RUNNABLE[0], "c99"])
def test_addresses_and_undefined_behaviour(folders, compiler, target, tmp_path):
    needs(compiler)
    kind = "address,undefined"
    if not runs_sanitized(compiler, kind, tmp_path):
        pytest.skip(f"{compiler} has no address sanitizer here (make test-targets)")
    folder = write(network(target), tmp_path / "f")
    flags = ["-g", "-O1", *TARGETS[target].flags, f"-fsanitize={kind}", "-fno-sanitize-recover=all"]
    program = linked(compiler, folder, ["test.c", "model.c"], "test", flags)
    for threads in "123":
        assert "ok" in call(program, "weights.bin", "golden.bin", threads, cwd=folder)


STRESS = """
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "model.h"

static float image[TINY_INPUT_0_SIZE], wanted[TINY_OUTPUT_0_SIZE];

static void once(tiny_t *m, float *label, float *map) {
  const float *inputs[] = {image};
  float *outputs[] = {label, map};
  if (tiny_run(m, inputs, outputs)) exit(2);
}

/* Models are made, run and taken down, in each of several threads. */
static void *work(void *given) {
  static const int counts[] = {1, 2, 3};
  float label[TINY_OUTPUT_0_SIZE], *map = (float *)malloc(TINY_OUTPUT_1_SIZE * sizeof(float));
  (void)given;
  for (int round = 0; round < 4; round++) {
    tiny_t *m;
    if (tiny_create(&m, tiny_weights, TINY_WEIGHTS_BYTES, counts[round % 3])) exit(3);
    for (int i = 0; i < 6; i++) {
      once(m, label, map);
      if (memcmp(label, wanted, sizeof wanted)) exit(4);
    }
    tiny_destroy(m);
  }
  free(map);
  return NULL;
}

int main(void) {
  pthread_t threads[3];
  tiny_t *m;
  float *map = (float *)malloc(TINY_OUTPUT_1_SIZE * sizeof(float));
  for (int i = 0; i < TINY_INPUT_0_SIZE; i++) image[i] = (float)(i % 17) / 8.0f - 1.0f;
  if (tiny_create(&m, tiny_weights, TINY_WEIGHTS_BYTES, 1)) return 5;
  once(m, wanted, map);
  tiny_destroy(m);
  free(map);
  for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, work, NULL);
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  printf("ok");
  return 0;
}
"""


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_threads(compiler, tmp_path):
    """Several models in several threads, each with threads of its own: no race, equal answers."""
    needs(compiler)
    if not runs_sanitized(compiler, "thread", tmp_path):
        pytest.skip(f"{compiler} has no thread sanitizer here (make test-targets)")
    folder = write(network("c99"), tmp_path / "f")
    (folder / "stress.c").write_text(STRESS)
    parts, flags = ["stress.c", "model.c", "weights.c"], ["-g", "-O1", "-fsanitize=thread"]
    assert call(linked(compiler, folder, parts, "stress", flags), cwd=folder) == "ok"


def test_threads_at_full_speed(tmp_path):
    needs("gcc")
    folder = write(network(RUNNABLE[0]), tmp_path / "f")
    (folder / "stress.c").write_text(STRESS)
    parts, flags = ["stress.c", "model.c", "weights.c"], ["-O3", *TARGETS[RUNNABLE[0]].flags]
    assert call(linked("gcc", folder, parts, "stress", flags), cwd=folder) == "ok"


ALLOCATIONS = """
#include <stdlib.h>
#include "model.h"
static int count;
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t m);
void *__wrap_malloc(size_t n) { count++; return __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t m) { count++; return __real_calloc(n, m); }
static float image[TINY_INPUT_0_SIZE], label[TINY_OUTPUT_0_SIZE], map[TINY_OUTPUT_1_SIZE];
static unsigned char rgb[40 * 30 * 3];
int main(void) {
  tiny_t *m;
  const float *inputs[] = {image};
  float *outputs[] = {label, map};
  if (tiny_create(&m, tiny_weights, TINY_WEIGHTS_BYTES, 2) || count != 1) return 1;
  for (int i = 0; i < 5; i++)
    if (tiny_preprocess(rgb, 30, 40, image) || tiny_run(m, inputs, outputs)) return 2;
  tiny_destroy(m);
  void *memory = __real_malloc(tiny_memory(2));
  if (tiny_create_in(&m, memory, tiny_memory(2), tiny_weights, TINY_WEIGHTS_BYTES, 2)) return 3;
  if (tiny_run(m, inputs, outputs)) return 4;
  tiny_destroy(m);
  free(memory);
  return count != 1;
}
"""


def test_nothing_is_allocated_after_create(tmp_path):
    needs("gcc")
    folder = write(network("c99"), tmp_path / "f")
    (folder / "count.c").write_text(ALLOCATIONS)
    wrap = ["-Wl,--wrap=malloc", "-Wl,--wrap=calloc"]
    call(linked("gcc", folder, ["count.c", "model.c", "weights.c"], "count", wrap), cwd=folder)


# -------------------------------------------------------------------------------------------- names


def test_cmake_builds_tests_and_the_example_answers(folders, tmp_path):
    needs("cmake", "ctest", "cc")
    folder = folders("c99")
    for options in ((), ("-DTINY_EMBED=ON", "-DTINY_THREADS=OFF")):
        place = tmp_path / f"b{len(options)}"
        call("cmake", "-S", folder, "-B", place, *options, cwd=tmp_path)
        call("cmake", "--build", place, cwd=tmp_path)
        assert "100% tests passed" in call("ctest", "--test-dir", place, cwd=tmp_path)
    (tmp_path / "photo.rgb").write_bytes(bytes(range(256)) * 18 + bytes(192))
    shown = call(tmp_path / "b0" / "tiny_example", "photo.rgb", 40, 40, folder / "weights.bin",
                 cwd=tmp_path)  # fmt: skip
    shares = re.findall(r"^ *([\d.]+)%  (.+)$", shown, re.MULTILINE)
    assert {name for _, name in shares} == set(CONTRACT.labels["label"].names[:3])  # no background
    assert sum(float(share) for share, _ in shares) == pytest.approx(100, abs=0.02)


def test_metadata_says_what_goes_in_and_out(folders):
    row = json.loads((folders("c99") / "metadata.json").read_text())
    assert row["inputs"] == [{"name": "image", "shape": [3, 33, 46], "layout": "nchw"}]
    assert [o["shape"] for o in row["outputs"]] == [[4], [20, 17, 23]]
    # stem, depthwise, 1x1, expand, depthwise 5x5 and project over 17 x 23 pixels; gate; classifier
    pixels = 27 * 24 + 9 * 24 + 24 * 20 + 20 * 50 + 25 * 50 + 50 * 20
    assert row["macs"] == 17 * 23 * pixels + 50 * 50 + 20 * 4


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("mobilenet_v2", "mobilenet_v2"),
        ("ch_PP-OCRv2 det", "ch_pp_ocrv2_det"),
        ("3d", "net_3d"),
        ("猫", "net"),
        ("double", "net_double"),
        ("pv_x", "net_pv_x"),
        ("x" * 80, "x" * 40),
    ],
)
def test_names_from_anything(text, name):
    assert api.name_of(text) == name
    assert api.checked_name(name) == name


@pytest.mark.parametrize("name", ["", "3x", "a-b", "a b", "for", "x" * 41, "猫", "pv_run", "test"])
def test_names_that_c_does_not_take(name):
    with pytest.raises(UsageError, match="--name"):
        api.checked_name(name)


def test_a_contract_for_another_network_is_refused():
    graph = small()
    wrong = api.Contract(preprocess=CONTRACT.preprocess, labels={"map": CONTRACT.labels["label"]})
    with pytest.raises(DataError, match="4 labels of 'map' for 7820 numbers"):
        api.check_contract(graph, wrong)


# --------------------------------------------------------------------------------------------- docs

PAGE = Path(__file__).parents[2] / "docs" / "compile.md"


def test_the_page_names_every_target_function_and_file(folders):
    text = PAGE.read_text()
    assert all(f"| `{name}` |" in text for name in ("native", *TARGETS))
    functions = re.findall(r"tiny_(\w+)\(", (folders("c99") / "model.h").read_text())
    assert {f for f in functions if f"`NAME_{f}`" not in text} == set()
    made = {*sources(network("c99"))}
    assert {name for name in made if f"`{name}`" not in text} == set()


def test_the_c_of_the_page_compiles(tmp_path):
    needs("gcc")
    folder = write(network("c99", name="photos"), tmp_path / "f")
    (block,) = re.findall(r"```c\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (folder / "page.c").write_text(block)
    call("gcc", *STRICT, "-c", "page.c", "-o", "page.o", cwd=folder)
