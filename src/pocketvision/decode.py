"""Any image file to RGB pixels by one stated rule each, or an ImageError with a short reason.

Formats   JPEG (and the first picture of an MPO), PNG, WebP, GIF, BMP, TIFF, PNM, JPEG 2000.
Bounds    MAX_PIXELS pixels and MAX_BYTES bytes; nothing is decoded beyond them.
Rotation  EXIF orientation is applied, all eight; a damaged EXIF block counts as none.
Frames    the first frame or page of an animation or document.
Depth     of 16 bits a channel the high byte is kept, as the PNG standard suggests.
Alpha     composited on white; a palette or colour-key transparency is an alpha.
Colour    grey is copied to three channels; CMYK is multiplied out without an ink profile;
          embedded colour profiles are not applied.
Refused   floating point, 32-bit and signed pixels (no stated white), Lab, run-length BMP (its
          decoder accepts damage silently), a first frame that covers a part of the picture, and
          anything damaged, cut off or of another kind.
"""

from __future__ import annotations

import contextlib
import io
import re
import stat
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from pocketvision import jpeg
from pocketvision.errors import ImageError
from pocketvision.quiet import hush, quiet

MAX_PIXELS = 2**26
MAX_BYTES = 2**28
# Decoders written in Python (plain and deep PNM) take about a microsecond a value.
MAX_SLOW_PIXELS = 2**20
MAX_PNG_CHUNKS = 100_000
BAND_PIXELS = 2**20
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000")
FOREIGN = (  # how files of other kinds begin, to say what they are instead of what they are not
    (rb"\s*(?:<!doctype html|<html)", "an HTML page, not an image"),
    (rb"\s*(?:<\?xml|<svg)", "XML or SVG, not pixels"),
    (rb"version https://git-lfs", "a Git LFS pointer: run `git lfs pull`"),
    (rb".{4}ftyp(?:hei|hev|mif1|avif|avis)", "HEIC or AVIF: convert it to JPEG or PNG"),
    (rb"%PDF", "a PDF document, not an image"),
    (rb"PK\x03\x04", "a zip archive, not an image"),
    (rb"\x00+\Z", "nothing but zero bytes"),
)


def decode(source: Path | str | bytes, *, scale_hint: tuple[int, int] | None = None) -> np.ndarray:
    """uint8 (h, w, 3) RGB, upright, by the rules at the top of this file.

    `scale_hint` (h, w) lets a JPEG decode at 1/2, 1/4 or 1/8 while the upright picture stays at
    least that large; it changes values. Raises ImageError.
    """
    name = "(bytes in memory)" if isinstance(source, bytes) else printable(str(source))
    try:
        data = source if isinstance(source, bytes) else read_bytes(Path(source))
        pixels = _pixels(data, scale_hint)
    except ImageError as e:
        raise ImageError(name, e.reason) from None
    except MemoryError:
        raise ImageError(name, "needs more memory than there is") from None
    except Exception as e:
        # Decoders meet hostile bytes with any exception at all; none may stop a run.
        words = " ".join(str(e).split())
        raise ImageError(name, f"cannot be decoded ({words[:100] or type(e).__name__})") from None
    return pixels


def printable(name: str) -> str:
    """The name with control characters and bytes that are no text written as escapes."""
    return re.sub("[\0-\x1f\x7f\ud800-\udfff]", lambda m: f"\\x{ord(m[0]) & 0xFF:02x}", name)


def read_bytes(path: Path) -> bytes:
    """The bytes of a regular file within MAX_BYTES. Raises ImageError for all else."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(path, f"is {_kind(status.st_mode)}, not a file")
        if status.st_size > MAX_BYTES:
            raise ImageError(path, f"{status.st_size / 2**20:.0f} MiB, at most {MAX_BYTES >> 20}")
        return path.read_bytes()
    except OSError as e:
        raise ImageError(path, (e.strerror or str(e)).lower()) from None
    except ValueError as e:
        raise ImageError(path, f"is not a usable file name ({e})") from None


def _kind(mode: int) -> str:
    return "a folder" if stat.S_ISDIR(mode) else "a pipe or device"


def _pixels(data: bytes, scale_hint: tuple[int, int] | None) -> np.ndarray:
    if not data:
        raise ImageError("", "the file is empty")
    if data[:3] == b"\xff\xd8\xff":
        return _from_jpeg(data, scale_hint)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        _check_png(data)
    if data[:4] == b"RIFF" and len(data) < 8 + int.from_bytes(data[4:8], "little"):
        raise ImageError("", "cut off: shorter than its header says")
    with quiet(), _opened(data) as image:
        pixels = _from_pillow(image)
        return upright(pixels, _orientation(image))


def _from_jpeg(data: bytes, scale_hint: tuple[int, int] | None) -> np.ndarray:
    try:
        header = jpeg.read_header(data)
        _check_size(header.height, header.width)
        turned = header.orientation >= 5
        least = scale_hint[::-1] if scale_hint and turned else scale_hint
        pixels = jpeg.decode_jpeg(header, least=least)
    except jpeg.UnusualSampling:
        with quiet(), _opened(data) as image:
            pixels = _from_pillow(image)
    except jpeg.JpegFault as e:
        raise ImageError("", str(e)) from None
    if pixels.shape[2] == 4:
        pixels = _from_cmyk(pixels)
    return upright(pixels, header.orientation)


def _check_size(height: int, width: int) -> None:
    if height < 1 or width < 1:
        raise ImageError("", f"its header says {width}x{height} pixels")
    if height * width > MAX_PIXELS:
        most = f"at most {MAX_PIXELS / 1e6:.0f}"
        raise ImageError("", f"{width}x{height} is {height * width / 1e6:.0f} megapixels, {most}")


def _check_png(data: bytes) -> None:
    """Every chunk whole and its checksum right; Pillow skips those of the picture data."""
    at = 8
    for _ in range(MAX_PNG_CHUNKS):
        size = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + size > len(data):
            raise ImageError("", "cut off: no end of PNG")
        kind, end = data[at + 4 : at + 8], at + 8 + size
        if zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise ImageError("", f"damaged: wrong checksum in PNG chunk {kind!r}")
        if kind == b"IEND":
            return
        at = end + 4
    raise ImageError("", f"more than {MAX_PNG_CHUNKS} PNG chunks")


def _check_jp2(data: bytes) -> None:
    """The codestream is whole; a decoder makes a blurred picture of half of one."""
    at, end = 0, len(data)
    while data[:2] != b"\xff\x4f" and at + 16 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        end = at + size if size else len(data)
        if kind == b"jp2c" or size < 8:
            break
        at = end
    if data[end - 2 : end] != b"\xff\xd9":
        raise ImageError("", "cut off: no end of the JPEG 2000 data")


def _opened(data: bytes) -> ImageFile.ImageFile:
    """A lazily opened image of an allowed format and size. Raises ImageError."""
    hush()
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        most = f"at most {MAX_PIXELS / 1e6:.0f} million"
        raise ImageError("", f"its header promises too many pixels ({most})") from None
    except Image.UnidentifiedImageError:
        raise ImageError("", _foreign(data)) from None
    _check_size(image.height, image.width)
    if image.format == "JPEG2000":
        _check_jp2(data)
    slow = image.tile and image.tile[0][0] in ("ppm", "ppm_plain")
    if slow and image.height * image.width > MAX_SLOW_PIXELS:
        raise ImageError("", f"plain or deep PNM of over {MAX_SLOW_PIXELS} pixels")
    if image.format == "GIF" and image.tile and image.tile[0][1] != (0, 0, *image.size):
        raise ImageError("", "its first frame does not cover the picture")
    if image.tile and image.tile[0][0] == "bmp_rle":
        raise ImageError("", "run-length BMP: save it as PNG")
    return image


def _foreign(data: bytes) -> str:
    for pattern, reason in FOREIGN:
        if re.match(pattern, data, re.IGNORECASE | re.DOTALL):
            return reason
    return "not an image, or damaged at its start (read: " + ", ".join(FORMATS) + ")"


def _from_pillow(image: ImageFile.ImageFile) -> np.ndarray:
    """uint8 (h, w, 3) of an opened image, before rotation."""
    if image.mode in ("F", "LAB", "HSV") or (image.mode == "I" and image.format != "PPM"):
        raise ImageError(
            "", f"pixels of mode {image.mode} have no stated white: save as 8 or 16 bit"
        )
    deep = "16" in str(image.tile[0][3]) if image.tile else False
    promised = image.size
    image.load()
    if image.size != promised:
        raise ImageError("", f"decodes to {image.size}, its header promised {promised}")
    if deep and isinstance(image.info.get("transparency"), tuple):
        image.info["transparency"] = tuple(v >> 8 for v in image.info["transparency"])
    return _in_bands(image.height, image.width, lambda box: _rgb(image.crop(box)))


def _in_bands(
    height: int, width: int, rgb: Callable[[tuple[int, int, int, int]], np.ndarray]
) -> np.ndarray:
    """uint8 (h, w, 3) put together from `rgb` of boxes (left, top, right, bottom).

    A conversion holds several copies of its pixels: of a band, not of everything.
    """
    out = np.empty((height, width, 3), np.uint8)
    rows = max(1, BAND_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        out[top:bottom] = rgb((0, top, width, bottom))
    return out


def _rgb(image: Image.Image) -> np.ndarray:
    """uint8 (h, w, 3), or something that broadcasts to it, of a loaded image."""
    if image.mode.startswith("I"):
        return _grey16(image)
    if image.has_transparency_data:
        return _on_white(np.asarray(image.convert("RGBA")))
    return np.asarray(image.convert("RGB"))


def _grey16(image: Image.Image) -> np.ndarray:
    values = np.asarray(image)
    grey = (values >> 8).astype(np.uint8)
    key = image.info.get("transparency")
    if isinstance(key, int):
        grey[values == key] = 255
    return grey[..., None]


def _on_white(rgba: np.ndarray) -> np.ndarray:
    """(h, w, 4) -> (h, w, 3): colour * a + white * (1 - a), rounded to nearest."""
    alpha = rgba[..., 3:].astype(np.uint16)
    if alpha.min() == 255:
        return rgba[..., :3]
    total = rgba[..., :3] * alpha
    total += (255 - alpha) * 255 + 128
    # With t = total - 128, (t + 128 + ((t + 128) >> 8)) >> 8 is t / 255 rounded, for t <= 255^2.
    total += total >> 8
    return (total >> 8).astype(np.uint8)


def _from_cmyk(stored: np.ndarray) -> np.ndarray:
    """(h, w, 4) inks as JPEG files hold them (inverted) -> (h, w, 3)."""

    def rgb(box: tuple[int, int, int, int]) -> np.ndarray:
        band = np.ascontiguousarray(stored[box[1] : box[3]])
        size = (band.shape[1], band.shape[0])
        image = Image.frombuffer("CMYK", size, band, "raw", "CMYK;I", 0, 1)
        return np.asarray(image.convert("RGB"))

    return _in_bands(stored.shape[0], stored.shape[1], rgb)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation of a loaded image; 1 when it has none. Pillow turns a TIFF by itself."""
    exif: Any = image.info.get("exif", b"")
    as_text = image.info.get("Raw profile type exif")
    if not exif and isinstance(as_text, str):
        with contextlib.suppress(ValueError):
            exif = bytes.fromhex("".join(as_text.split("\n")[3:]))
    return jpeg.exif_orientation(exif)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """(h, w, 3) as stored -> upright, for an EXIF orientation 1..8 (5 to 8 swap h and w)."""
    if orientation == 1:
        return np.require(pixels, requirements=["C", "W"])
    # Whole pixels are moved as items of three bytes, twice as fast as byte by byte.
    whole = np.ascontiguousarray(pixels).view("V3")[..., 0]
    if orientation >= 5:
        whole = whole.T
    if orientation in (2, 3, 6, 7):
        whole = whole[:, ::-1]
    if orientation in (3, 4, 7, 8):
        whole = whole[::-1]
    height, width = whole.shape
    return np.ascontiguousarray(whole).view(np.uint8).reshape(height, width, 3)
