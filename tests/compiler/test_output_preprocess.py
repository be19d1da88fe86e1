"""NAME_preprocess in C against the contract in Python, over sizes, modes and kernels."""

from __future__ import annotations

import ctypes
import itertools
import mmap
import shutil
import subprocess

import numpy as np
import pytest

from pocketvision.compiler import api
from pocketvision.preprocess import Preprocess, prepare, reference

PRELUDE = """
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
enum { OK = 0, NULL_POINTER = 1, BAD_IMAGE = 9 };
#define PV_CODE(x) x
#define PV_NAME(x) x
#define PV_INLINE static inline __attribute__((always_inline, unused))
#define PV_UNUSED __attribute__((unused))
"""
FLAGS = ("-std=c99", "-O3", "-march=native", "-ffp-contract=fast", "-Wall", "-Wextra", "-Wpedantic",
         "-Werror", "-shared", "-fPIC")  # fmt: skip
GREY = {"channels": 1, "mean": (0.45,), "std": (0.25,)}
CONTRACTS = {
    "plain": Preprocess(size=(32, 48)),
    "grey": Preprocess(size=(28, 28), **GREY),
    "whole": Preprocess(size=(224, 224), crop_fraction=1.0),
    "squash": Preprocess(size=(40, 70), resize="squash"),
    "letterbox": Preprocess(size=(65, 33), resize="letterbox", fill=7, mean=(0.5, 0.4, 0.3)),
    "letterbox grey": Preprocess(size=(65, 133), resize="letterbox", **GREY),
    "cubic": Preprocess(size=(32, 96), interpolation="bicubic"),
    "cubic squash": Preprocess(size=(91, 64), interpolation="bicubic", resize="squash"),
    "nearest": Preprocess(size=(30, 40), interpolation="nearest"),
    "nearest letterbox": Preprocess(size=(30, 41), interpolation="nearest", resize="letterbox"),
}
SIZES = [(1, 1), (1, 300), (257, 1), (32, 48), (37, 53), (48, 65), (224, 224), (225, 223),
         (480, 640), (750, 1000), (100, 1201), (2000, 90)]  # fmt: skip

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")


@pytest.fixture(scope="module")
def prepared_by(tmp_path_factory):
    """contract name -> function of an image that runs the compiled C."""
    folder = tmp_path_factory.mktemp("preprocess")
    made = {}

    def get(name):
        if name not in made:
            made[name] = _compiled(CONTRACTS[name], folder / name.replace(" ", "_"))
        return made[name]

    return get


def _compiled(p: Preprocess, path):
    path.with_suffix(".c").write_text(PRELUDE + api.preprocess(p))
    command = ["gcc", *FLAGS, "-o", path.with_suffix(".so"), path.with_suffix(".c"), "-lm"]
    subprocess.run(command, check=True)
    function = ctypes.CDLL(str(path.with_suffix(".so"))).preprocess

    def run(image):
        out = np.full((p.channels, *p.size), np.nan, np.float32)
        image = before_a_wall(image)
        pixels, numbers = ctypes.c_void_p(image.ctypes.data), ctypes.c_void_p(out.ctypes.data)
        return function(pixels, *image.shape[:2], numbers), out

    return run


def before_a_wall(image: np.ndarray) -> np.ndarray:
    """The image where not one byte behind it may be read."""
    page = mmap.PAGESIZE
    pages = -(-image.nbytes // page)
    block = mmap.mmap(-1, (pages + 1) * page)
    whole = np.frombuffer(block, np.uint8)
    wall = whole.ctypes.data + pages * page
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(wall), ctypes.c_size_t(page), 0) == 0
    copy = whole[pages * page - image.nbytes : pages * page].reshape(image.shape)
    copy[:] = image
    return copy


def picture(h: int, w: int) -> np.ndarray:
    """Noise on waves: every level occurs, sharp edges and smooth parts."""
    draw = np.random.Generator(np.random.PCG64(h * 10007 + w))
    y, x, c = np.ogrid[:h, :w, :3]
    waves = 127 + 120 * np.sin(x / 7 + c) * np.cos(y / 11 - c)
    noise = draw.integers(0, 256, (h, w, 3))
    return np.where(draw.random((h, w, 1)) < 0.3, noise, waves).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(("name", "size"), [*itertools.product(CONTRACTS, SIZES)])
def test_equals_the_contract(prepared_by, name, size):
    p, image = CONTRACTS[name], picture(*size)
    code, got = prepared_by(name)(image)
    assert code == 0
    level = np.array(p.std)[:, None, None] * 255
    apart = np.abs(got - prepare(image, p)) * level
    # Bilinear and nearest: the same whole numbers. Cubic: a level where a half is rounded.
    assert apart.max() <= (1.001 if p.interpolation == "bicubic" else 1e-3)
    assert np.mean(apart > 1e-3) < 1e-3
    exact = np.abs(got - reference(image, p)) * level
    assert exact.max() <= 1.001


def test_large_steps_and_too_large_images(prepared_by):
    run = prepared_by("plain")
    wide = picture(70, 60_000)
    code, got = run(wide)
    assert code == 0
    assert np.abs(got - prepare(wide, CONTRACTS["plain"])).max() < 1e-4
    # Past the weights that fit on the stack: a code, not a wrong picture.
    code, _ = run(np.zeros((1, 48 * 3000, 3), np.uint8))
    assert code == 0  # a crop of the input's aspect is small
    code, _ = prepared_by("squash")(np.zeros((1, 70 * 3000, 3), np.uint8))
    assert code == 9


def test_sizes_below_one_are_refused(prepared_by):
    run = prepared_by("squash")
    assert run(np.zeros((0, 5, 3), np.uint8))[0] == 9
    assert run(np.zeros((5, 0, 3), np.uint8))[0] == 9
