"""Images inside the page: pixels that come back, sizes that fit, bad files that are nothing."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from pocketvision.data.dataset import Sample
from pocketvision.errors import DataError
from pocketvision.report import pictures
from pocketvision.report.run import read
from tests.report.runs import write_run


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])))


def test_a_small_image_keeps_every_pixel():
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    uri = pictures.data_uri(image)
    assert uri.startswith("data:image/png;base64,")
    assert np.array_equal(np.asarray(opened(uri)), image)


@pytest.mark.parametrize("size", [(480, 640), (2000, 300), (161, 161)])
def test_a_large_image_is_fitted_with_its_shape(size):
    ramp = np.linspace(0, 255, size[1]).astype(np.uint8)
    image = np.broadcast_to(ramp[None, :, None], (*size, 3))
    small = opened(pictures.data_uri(np.ascontiguousarray(image)))
    assert max(small.size) == pictures.SIDE
    assert abs(small.width / small.height - size[1] / size[0]) < 0.02 * size[1] / size[0] + 0.02
    assert np.asarray(small)[0, -1].mean() > np.asarray(small)[0, 0].mean() + 150


def test_files_are_found_by_path_and_bad_ones_are_nothing(tmp_path):
    Image.new("RGB", (5, 3), (10, 200, 30)).save(tmp_path / "a.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    here, anywhere = pictures.from_files(tmp_path), pictures.from_files()
    assert here("a.png").shape == (3, 5, 3)
    assert anywhere(str(tmp_path / "a.png"))[0, 0].tolist() == [10, 200, 30]
    for path in ("broken.jpg", "nowhere.png", "a\x00.png", "", "/dev/zero"):
        assert here(path) is None


def run_on(folder, data):
    (folder / "setup.json").write_text(json.dumps({"format": 1, "data": data, "spec": {}}))
    return read(folder)


def test_a_run_says_where_its_images_lie(tmp_path):
    folder = write_run(tmp_path / "run")
    Image.new("RGB", (5, 3), (1, 2, 3)).save(tmp_path / "a.png")
    (tmp_path / "list.csv").write_text("image,label\na.png,x\n")
    for data in (tmp_path, tmp_path / "list.csv"):
        assert pictures.of_run(run_on(folder, str(data)))("a.png").shape == (3, 5, 3)
    assert pictures.of_run(run_on(folder, str(tmp_path / "gone")))("a.png") is None
    with pytest.raises(DataError, match=r"setup.json is damaged: 'data' is not text"):
        pictures.of_run(run_on(folder, 7))


def test_builtin_images_are_found_by_name(tmp_path, monkeypatch):
    pytest.importorskip("sklearn", reason="the extra `demo` is not installed")
    run = run_on(write_run(tmp_path / "run"), "digits")
    source = pictures.of_run(run)
    assert source("digits/0/0000").shape == (32, 32, 3)
    assert source("digits/1/0000") is None
    # A folder of that name goes before what came along, as in reading.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    Image.new("RGB", (5, 3)).save(tmp_path / "digits" / "a.png")
    assert pictures.of_run(run)("a.png").shape == (3, 5, 3)
    assert pictures.of_run(run)("digits/0/0000") is None


def test_samples_give_their_file_or_their_pixels(tmp_path):
    Image.new("RGB", (5, 3), (1, 2, 3)).save(tmp_path / "a.png")
    pixels = np.zeros((2, 2, 3), np.uint8)
    source = pictures.from_samples(
        [Sample(tmp_path / "a.png", 0, "x/a.png"), Sample(None, 1, "y", pixels)]
    )
    assert source("x/a.png")[0, 0].tolist() == [1, 2, 3]
    assert source("y") is pixels
    assert source("z") is None
