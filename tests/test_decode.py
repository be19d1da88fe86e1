"""Each rule of decoding, and files that are broken in every way we could think of."""

import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from pocketvision import decode as decoding
from pocketvision.decode import decode, upright
from pocketvision.errors import ImageError
from pocketvision.jpeg import exif_orientation

DATA = os.environ.get("POCKETVISION_DATA")


def picture(height=75, width=100):
    draw = np.random.Generator(np.random.PCG64(0))
    coarse = Image.fromarray(draw.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def reason(source):
    with pytest.raises(ImageError) as caught:
        decode(source)
    assert "\n" not in str(caught.value)
    return caught.value.reason


# The rules ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"quality": 90},
        {"quality": 50, "subsampling": 0},
        {"quality": 70, "subsampling": 1, "progressive": True},
        {"quality": 70, "optimize": True, "restart_marker_rows": 1},
    ],
)
@pytest.mark.parametrize("size", [(75, 100), (16, 16), (1, 1), (33, 7)])
def test_jpeg_equals_pillow_to_the_bit(options, size):
    data = saved(picture(*size), "JPEG", **options)
    np.testing.assert_array_equal(decode(data), np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("divisor", [2, 4, 8])
def test_scaled_jpeg_equals_pillows_draft(divisor):
    data = saved(picture(75, 100), "JPEG", quality=90)
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", (100 // divisor, 75 // divisor))
    ours = decode(data, scale_hint=(75 // divisor, 100 // divisor))
    np.testing.assert_array_equal(ours, np.asarray(image))


def test_grey_and_cmyk_jpeg_follow_pillow():
    for mode in ("L", "CMYK"):
        data = saved(picture().convert(mode), "JPEG", quality=90)
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        np.testing.assert_array_equal(decode(data), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(picture(), kind, exif=exif, **options)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(decode(data), np.asarray(expected))


def test_orientations_by_hand():
    a, b, c, d, e, f = (np.full(3, v, np.uint8) for v in range(6))
    stored = np.array([[a, b, c], [d, e, f]])
    expected = {
        1: [[a, b, c], [d, e, f]],
        2: [[c, b, a], [f, e, d]],
        3: [[f, e, d], [c, b, a]],
        4: [[d, e, f], [a, b, c]],
        5: [[a, d], [b, e], [c, f]],
        6: [[d, a], [e, b], [f, c]],
        7: [[f, c], [e, b], [d, a]],
        8: [[c, f], [b, e], [a, d]],
    }
    for orientation, rows in expected.items():
        turned = upright(stored, orientation)
        np.testing.assert_array_equal(turned, np.array(rows))
        assert turned.flags.c_contiguous
        assert turned.flags.writeable


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"Exif\0\0",
        b"Exif\0\0XX*\0\0\0\0\x08",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff",
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x09\0\0\0",  # orientation 9
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x01\0\0\0\x06\0\0\0",  # of type text
    ],
)
def test_damaged_exif_counts_as_none(exif):
    assert exif_orientation(exif) == 1


def test_exif_of_either_byte_order():
    assert exif_orientation(b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0") == 6
    assert exif_orientation(b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0") == 6


def test_sixteen_bits_keep_the_high_byte():
    values = np.array([[0, 255, 256, 32768, 65279, 65280, 65535]], np.uint16)
    for kind in ("PNG", "TIFF"):
        out = decode(saved(Image.fromarray(values), kind))
        assert out[0].tolist() == [[v] * 3 for v in (0, 0, 1, 128, 254, 255, 255)]
    colour = decode(png16_rgb([(0, 256, 65535), (255, 32768, 65279)]))
    assert colour[0].tolist() == [[0, 1, 255], [0, 128, 254]]


def png(header, body, *, extra=()):
    """A PNG from its parts: IHDR fields after the size, compressed rows, chunks in between."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    parts = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(body)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(k, d) for k, d in parts)


def png16_rgb(pixels, *, extra=()):
    body = b"\0" + b"".join(struct.pack(">3H", *p) for p in pixels)
    return png(struct.pack(">IIBBBBB", len(pixels), 1, 16, 2, 0, 0, 0), body, extra=extra)


def test_deep_colour_key_is_transparent():
    data = png16_rgb(
        [(4660, 4660, 4660), (65535, 0, 0)], extra=[(b"tRNS", struct.pack(">3H", *[4660] * 3))]
    )
    assert decode(data)[0].tolist() == [[255, 255, 255], [255, 0, 0]]


def test_deep_grey_key_is_transparent():
    body = b"\0" + struct.pack(">3H", 255, 256, 0)
    header = struct.pack(">IIBBBBB", 3, 1, 16, 0, 0, 0, 0)
    data = png(header, body, extra=[(b"tRNS", struct.pack(">H", 256))])
    assert decode(data)[0, :, 0].tolist() == [0, 255, 0]


def test_alpha_is_composited_on_white():
    rgba = np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [100, 0, 200, 128]]], np.uint8)
    # (100 * 128 + 255 * 127) / 255 = 177.2; (0 + 255 * 127) / 255 = 127; (200 * 128 + ...) = 227.4
    expected = [[255, 255, 255], [0, 0, 0], [177, 127, 227]]
    assert decode(saved(Image.fromarray(rgba), "PNG"))[0].tolist() == expected
    assert decode(saved(Image.fromarray(rgba), "WEBP", lossless=True, exact=True))[0].tolist() == (
        expected
    )


def test_compositing_rounds_every_case_right():
    colour, alpha = np.meshgrid(np.arange(256), np.arange(256))
    rgba = np.stack([colour, colour, colour, alpha], axis=2).astype(np.uint8)
    exact = (colour * alpha + 255 * (255 - alpha)) / 255
    out = decode(saved(Image.fromarray(rgba), "PNG"))
    np.testing.assert_array_equal(out[..., 0], np.floor(exact + 0.5))


def test_palettes_with_and_without_transparency():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 0])
    image.putpixel((1, 0), 1)
    assert decode(saved(image, "PNG"))[0].tolist() == [[10, 20, 30], [200, 100, 0]]
    for kind in ("PNG", "GIF"):
        clear = decode(saved(image, kind, transparency=1))
        assert clear[0].tolist() == [[10, 20, 30], [255, 255, 255]]


def test_the_first_frame_of_animations_and_pages():
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "lime", "blue")]
    for kind, options in {
        "GIF": {},
        "WEBP": {"lossless": True},
        "PNG": {},
        "TIFF": {},
        "MPO": {"quality": 95, "subsampling": 0},
    }.items():
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        out = decode(data)
        assert out.shape == (6, 8, 3)
        np.testing.assert_allclose(out[0, 0], [255, 0, 0], atol=1)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_modes_of_tiff(mode):
    image = picture().convert(mode)
    data = saved(image, "TIFF")
    np.testing.assert_array_equal(decode(data), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("kind", ["BMP", "PPM", "JPEG2000", "PNG", "TIFF"])
def test_lossless_kinds_come_back(kind):
    options = {"irreversible": False} if kind == "JPEG2000" else {}
    np.testing.assert_array_equal(decode(saved(picture(), kind, **options)), np.asarray(picture()))


def test_large_images_are_the_same_in_bands(monkeypatch):
    image = picture(64, 50).convert("RGBA")
    image.putalpha(picture(64, 50).convert("L"))
    whole = decode(saved(image, "PNG"))
    monkeypatch.setattr(decoding, "BAND_PIXELS", 50 * 7)
    np.testing.assert_array_equal(decode(saved(image, "PNG")), whole)


def test_a_first_frame_that_covers_a_part_is_refused():
    data = bytearray(saved(Image.new("P", (4, 4)), "GIF"))
    at = data.index(b",\0\0\0\0\4\0\4\0")
    data[at + 5] = 2
    assert "does not cover the picture" in reason(bytes(data))


@pytest.mark.parametrize("mode", ["F", "I", "LAB"])
def test_pixels_without_a_stated_white_are_refused(mode):
    image = Image.new(mode, (4, 4))
    assert "no stated white" in reason(saved(image, "TIFF"))


# What is not a picture ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>404", "HTML"),
        (b"\n<html>", "HTML"),
        (b"<?xml version='1.0'?><svg/>", "SVG"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "AVIF"),
        (b"%PDF-1.7", "PDF"),
        (b"PK\x03\x04....", "zip"),
        (b"\0" * 5000, "nothing but zero bytes"),
        (b"hello", "not an image"),
        (b"\xff\xd8\xff", "cut off inside its header"),
        (b"\xff\xd8\xff\xd9", "before any picture data|cut off"),
    ],
)
def test_other_files_are_told_apart(data, words):
    import re

    assert re.search(words, reason(data))


def test_places_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    assert reason(tmp_path) == "is a folder, not a file"
    assert reason(tmp_path / "pipe.jpg") == "is a pipe or device, not a file"
    assert reason("/dev/zero") == "is a pipe or device, not a file"
    assert reason(tmp_path / "none.jpg") == "no such file or directory"
    assert reason(tmp_path / "link.jpg") == "no such file or directory"
    assert "symbolic links" in reason(tmp_path / "loop.jpg")
    assert "file name too long" in reason(tmp_path / ("x" * 300))
    assert "not a usable file name" in reason("a\0b.jpg")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path):
    (tmp_path / "a.png").touch(mode=0)
    assert reason(tmp_path / "a.png") == "permission denied"


def test_the_error_names_the_file(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ImageError) as caught:
        decode(tmp_path / "a.png")
    assert str(caught.value) == f"cannot read image {tmp_path / 'a.png'}: the file is empty"


def test_names_that_would_break_a_line_are_escaped():
    with pytest.raises(ImageError, match=r"^cannot read image a\\x0ab\\xff\.png: no such file"):
        decode(Path("a\nb\udcff.png"))


def test_file_size_is_bounded(tmp_path):
    with (tmp_path / "a.png").open("wb") as f:
        f.truncate(decoding.MAX_BYTES + 1)
    assert "at most 256" in reason(tmp_path / "a.png")


# What is a damaged picture ------------------------------------------------------------------------


KINDS = {
    "JPEG": {"quality": 90},
    "progressive": {"quality": 90, "progressive": True},
    "PNG": {},
    "WEBP": {"quality": 90},
    "GIF": {},
    "BMP": {},
    "TIFF": {"compression": "tiff_lzw"},
    "PPM": {},
    "JPEG2000": {},
}


def sample(kind):
    return saved(picture(), kind.replace("progressive", "JPEG"), **KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_cut_off_files_are_errors(kind, part):
    data = sample(kind)
    assert reason(data[: int(len(data) * part)])


def test_jpeg_cut_short_says_so():
    assert reason(sample("JPEG")[:-200]) == "cut off: the picture data end early"


def test_png_checksums_are_held_up():
    data = bytearray(sample("PNG"))
    data[data.index(b"IDAT") + 4 + 10] ^= 1
    assert "wrong checksum in PNG chunk b'IDAT'" in reason(bytes(data))


def test_jpeg_damage_inside_the_picture_is_an_error():
    data = bytearray(sample("JPEG"))
    start = data.index(b"\xff\xda") + 20
    data[start : start + 40] = bytes(40)
    assert "cut off" in reason(bytes(data)) or "damaged" in reason(bytes(data))


def test_harmless_junk_in_jpeg_is_skipped():
    data = sample("JPEG")
    expected = decode(data)
    table = data.index(b"\xff\xdb")
    between = data[:table] + b"junk" + data[table:]
    before_end = data[:-2] + bytes(37) + data[-2:]
    after_end = data + b"junk" * 100
    revision = data.replace(b"JFIF\0\1", b"JFIF\0\7")
    assert revision != data
    for odd in (between, before_end, after_end, revision):
        np.testing.assert_array_equal(decode(odd), expected)


def test_harmless_junk_does_not_hide_damage():
    data = bytearray(sample("JPEG")[:-2] + bytes(50) + b"\xff\xd9")
    start = data.index(b"\xff\xda") + 20
    data[start : start + 40] = bytes(40)
    assert "damaged" in reason(bytes(data)) or "cut off" in reason(bytes(data))


def test_odd_scan_parameters_of_cameras_are_harmless():
    data = sample("JPEG")
    at = data.index(b"\xff\xda") + 2 + 2 + 1 + 2 * 3
    odd = data[:at] + b"\0\0\0" + data[at + 3 :]
    assert odd != data
    np.testing.assert_array_equal(decode(odd), decode(data))


# What is a bomb -----------------------------------------------------------------------------------


def test_header_bombs_are_refused_before_decoding():
    for side in (9000, 60_000):
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        assert "pixels, at most 67" in reason(png(header, b"")).replace("megapixels", "pixels") or (
            "too many pixels" in reason(png(header, b""))
        )
    tall = bytearray(sample("JPEG"))
    at = tall.index(b"\xff\xc0") + 5
    tall[at : at + 4] = b"\xff\xff\xff\xff"
    assert "65535x65535 is 4295 megapixels, at most 67" in reason(bytes(tall))


def test_a_picture_without_pixels():
    flat = bytearray(sample("JPEG"))
    at = flat.index(b"\xff\xc0") + 5
    flat[at : at + 2] = b"\0\0"
    assert reason(bytes(flat)) == "its header says 100x0 pixels"


def test_many_passes_are_refused():
    data = sample("progressive")
    scan = data.index(b"\xff\xda")
    at = data.index(b"\xff\xc2") + 5
    large = data[:at] + b"\x20\x00\x20\x00" + data[at + 4 : scan]  # 8192x8192 is allowed
    assert "passes over the picture" in reason(large + data[scan : scan + 30] * 5000)


def test_slow_decoders_get_small_pictures():
    assert decode(b"P2 2 1 255 0 255")[0].tolist() == [[0] * 3, [255] * 3]
    assert "plain or deep PNM" in reason(b"P2 2000 2000 255 " + b"0 " * 4_000_000)
    assert "plain or deep PNM" in reason(b"P5 2000 2000 60000 " + bytes(8_000_000))


def test_many_tiny_chunks_are_refused():
    empty = struct.pack(">I", 0) + b"teSt" + struct.pack(">I", zlib.crc32(b"teSt"))
    data = sample("PNG")
    assert "PNG chunks" in reason(data[:33] + empty * 100_001 + data[33:])


def test_text_that_inflates_is_refused():
    bomb = b"k\0\0" + zlib.compress(bytes(100_000_000))
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    assert "cannot be decoded" in reason(png(header, b"\0\0", extra=[(b"zTXt", bomb)]))


# Anything at all ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bits_are_an_error_or_a_whole_picture(kind, capfd):
    data = sample(kind)
    draw = np.random.Generator(np.random.PCG64(7))
    for _ in range(60):
        damaged = bytearray(data)
        for at in draw.integers(0, len(data), draw.integers(1, 4)):
            damaged[at] ^= 1 << draw.integers(0, 8)
        try:
            out = decode(bytes(damaged))
        except ImageError:
            continue
        assert (out.dtype, out.ndim, out.shape[2]) == (np.uint8, 3, 3)
    assert capfd.readouterr() == ("", "")


def test_warnings_stay_inside_and_come_back(recwarn):
    gif = saved(picture().convert("P"), "GIF", transparency=3)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(decode, [gif] * 40))
    assert not recwarn.list
    with pytest.warns(UserWarning, match="still heard"):
        warnings.warn("still heard", UserWarning, stacklevel=1)


CHILD = """
import resource, signal, sys
from pathlib import Path
from pocketvision.decode import decode
from pocketvision.errors import ImageError
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
for line in sys.stdin:
    signal.setitimer(signal.ITIMER_VIRTUAL, 2)  # seconds of computing; then the process is killed
    try:
        print("ok", *decode(Path(line.rstrip("\\n"))).shape, flush=True)
    except ImageError as e:
        print("bad", e.reason, flush=True)
"""


@pytest.fixture(scope="module")
def answers():
    """What a process with 1 GiB of memory and 2 s a file says about each odd image."""
    folder = Path(DATA or "") / "odd_images"
    files = sorted(f for f in folder.rglob("*") if f.is_file() and f.name != "index.csv")
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", CHILD],
        input="".join(f"{f}\n" for f in files),
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"},
    )
    assert child.returncode == 0, child.stderr[-2000:]
    assert child.stderr == ""
    names = [f.relative_to(folder).as_posix() for f in files]
    return dict(zip(names, child.stdout.splitlines(), strict=True))


@pytest.mark.skipif(not DATA, reason="POCKETVISION_DATA is not set")
def test_odd_images_decode_as_promised_or_say_why(answers):
    import csv

    with (Path(DATA) / "odd_images" / "index.csv").open() as f:
        rows = {row["file"]: row for row in csv.DictReader(f)}
    assert answers.keys() == rows.keys()
    good = 0
    for name, answer in answers.items():
        row = rows[name]
        word, *rest = answer.split(" ")
        if word == "bad":
            assert rest
            continue
        good += 1
        if row["pillow13_result"] == "ok":
            width, height = map(int, row["size"].split("x"))
            turned = row["exif_orientation"] in "5678" and row["exif_orientation"] != ""
            if turned and row["format"] != "TIFF":  # the index lists a TIFF upright
                width, height = height, width
            assert rest == [str(height), str(width), "3"], name
    assert good >= 205


@pytest.mark.skipif(not DATA, reason="POCKETVISION_DATA is not set")
def test_odd_images_that_pillow_takes_and_we_do_not(answers):
    """Each is damaged, or of a kind that the rules refuse; the list is short and known."""
    import csv

    with (Path(DATA) / "odd_images" / "index.csv").open() as f:
        taken = {r["file"] for r in csv.DictReader(f) if r["pillow13_result"] == "ok"}
    refused = {name: answers[name] for name in taken if answers[name].startswith("bad")}
    allowed = ("run-length BMP", "no stated white", "damaged", "cut off", "does not cover")
    assert all(any(a in answer for a in allowed) for answer in refused.values()), refused
    assert len(refused) <= 15


@pytest.mark.skipif(not DATA, reason="POCKETVISION_DATA is not set")
def test_odd_images_equal_pillow_where_both_rules_are_plain():
    """Opaque 8-bit images: Pillow's own transposition and conversion, by another route."""
    folder = Path(DATA) / "odd_images"
    compared = 0
    for file in sorted(folder.rglob("*")):
        if file.suffix not in (".jpg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                image = Image.open(file)
                deep = image.mode.startswith(("I", "F")) or image.has_transparency_data
                expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
                ours = decode(file)
            except Exception:
                continue
        if not deep:
            np.testing.assert_array_equal(ours, expected, err_msg=file.name)
            compared += 1
    assert compared > 120
