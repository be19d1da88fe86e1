"""JPEG to pixels, strictly: a picture is whole, or it is an error with a reason.

libjpeg repairs what it can and only whispers about it, which turns a cut-off file into a half-grey
picture. Here each of its warnings is an error, except the two kinds of junk that lie outside the
picture and that every viewer skips: bytes between header segments and zero bytes before the end
marker.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

# Work of one decode is scans x pixels: a file of a few kB may ask for thousands of passes.
MAX_SCAN_PIXELS = 2**30
SCALES = (8, 4, 2)
EXIF_ORIENTATION = 0x0112
EXIF_FORMATS = {1: "B", 3: "H", 4: "I"}
_JUNK_AT_END = re.compile(r"(\d+) extraneous bytes before marker 0xd9")


class JpegFault(ValueError):
    """Why a JPEG cannot be decoded, in a few words; `decode` adds the path."""


class UnusualSampling(JpegFault):
    """A chroma sampling that only the slower decoder knows."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the markers before the picture data say, and the file without junk between them."""

    height: int
    width: int
    components: int
    scans: int
    orientation: int
    data: bytes


def exif_orientation(exif: bytes) -> int:
    """Orientation 1..8 of an EXIF block; 1 where it is absent or damaged.

    Source: EXIF 2.3 (a TIFF header, then tag 0x0112 in the first directory).
    """
    body = exif[6:] if exif.startswith(b"Exif\0\0") else exif
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(body[:4])
    if order is None:
        return 1
    try:
        return _orientation_tag(body, order)
    except struct.error:
        return 1


def _orientation_tag(body: bytes, order: str) -> int:
    (start,) = struct.unpack_from(order + "I", body, 4)
    (count,) = struct.unpack_from(order + "H", body, start)
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(order + "HH", body, at)
        if tag == EXIF_ORIENTATION and kind in EXIF_FORMATS:
            (value,) = struct.unpack_from(order + EXIF_FORMATS[kind], body, at + 8)
            return int(value) if 1 <= value <= 8 else 1
    return 1


def read_header(data: bytes) -> Header:
    """Walk the marker segments up to the first scan. Raises JpegFault."""
    frame, exif, segments, clean = b"", b"", [data[:2]], True
    for code, start, end, junk in _segments(data):
        segments.append(_plain(data[start:end], sequential=frame[1:2] in (b"\xc0", b"\xc1")))
        clean = clean and not junk and segments[-1] == data[start:end]
        if code == 0xE1 and not exif and data[start + 4 : start + 10] == b"Exif\0\0":
            exif = data[start + 4 : end]
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):
            frame = data[start:end]
    if len(frame) < 10:
        raise JpegFault("no picture header before the picture data")
    height, width, components = struct.unpack_from(">HHB", frame, 5)
    # One scan that holds every component of a sequential file is all that will be read of it.
    single = frame[1] in (0xC0, 0xC1) and data[start + 4] == components
    return Header(
        height=height,
        width=width,
        components=components,
        scans=1 if single else data.count(b"\xff\xda", start),
        orientation=exif_orientation(exif),
        data=data if clean else b"".join(segments) + data[end:],
    )


def _plain(segment: bytes, *, sequential: bool) -> bytes:
    """The segment with fields that decoders ignore set to what the standard says: cameras write
    odd ones, and libjpeg warns about them as it does about damage.
    """
    if segment[1] == 0xE0 and segment[4:9] == b"JFIF\0" and len(segment) > 9:
        return segment[:9] + b"\1" + segment[10:]
    if segment[1] == 0xDA and sequential:
        return segment[:-3] + b"\x00\x3f\x00"
    return segment


def _segments(data: bytes) -> Iterator[tuple[int, int, int, bool]]:
    """Yield (marker, start, end, junk before it?) for each header segment; the last is the scan."""
    at = 2
    while True:
        start = data.find(b"\xff", at)
        code_at = start + 1
        while start >= 0 and data[code_at : code_at + 1] == b"\xff":
            start, code_at = code_at, code_at + 1
        if start < 0 or code_at + 3 > len(data):
            raise JpegFault("cut off inside its header")
        code, junk = data[code_at], data[at:start].strip(b"\xff") != b""
        if code in (0x00, 0x01) or 0xD0 <= code <= 0xD8:
            at = code_at + 1
            continue
        if code == 0xD9:
            raise JpegFault("ends before any picture data")
        end = code_at + 1 + int.from_bytes(data[code_at + 1 : code_at + 3], "big")
        if end > len(data) or end < code_at + 3:
            raise JpegFault("cut off inside its header")
        yield code, start, end, junk
        if code == 0xDA:
            return
        at = end


def decode_jpeg(header: Header, *, least: tuple[int, int] | None = None) -> np.ndarray:
    """uint8 (h, w, 3) RGB or (h, w, 4) CMYK as stored, not yet rotated. Raises JpegFault.

    `least` (h, w), in the stored frame, allows decoding at 1/2, 1/4 or 1/8 while both sides stay
    at least that long.
    """
    if header.scans * header.height * header.width > MAX_SCAN_PIXELS:
        raise JpegFault(f"{header.scans} passes over the picture, far more than it needs")
    try:
        return _strict(header, header.data, least)
    except JpegFault as e:
        junk = _JUNK_AT_END.search(str(e))
        if junk is None:
            raise
    # Cameras pad with zeros; anything else that is left over is picture that lost its place. The
    # last warning hides earlier ones, so the padding is cut out and all is judged again.
    end = header.data.rfind(b"\xff\xd9")
    start = max(0, end - int(junk[1]))
    if header.data[start:end].strip(b"\0"):
        raise JpegFault("damaged picture data (more of them than the picture takes)")
    return _strict(header, header.data[:start] + b"\xff\xd9", least)


def _strict(header: Header, data: bytes, least: tuple[int, int] | None) -> np.ndarray:
    import simplejpeg

    divisor = _divisor(header, least)
    scaled = {
        "min_height": -(-header.height // divisor),
        "min_width": -(-header.width // divisor),
        "min_factor": divisor,
    }
    try:
        # The accurate transform and the smooth upsampling are what Pillow runs: every value is
        # the same as Pillow's, so a result does not depend on which of the two decoded.
        pixels: np.ndarray = simplejpeg.decode_jpeg(
            data,
            "CMYK" if header.components == 4 else "RGB",
            fastdct=False,
            fastupsample=False,
            **(scaled if divisor > 1 else {}),
        )
    except ValueError as e:
        raise _fault(str(e)) from None
    return pixels


def _divisor(header: Header, least: tuple[int, int] | None) -> int:
    """The largest of 8, 4, 2, 1 that keeps both sides at least `least` long."""
    if least is None:
        return 1
    fits = (d for d in SCALES if header.height >= d * least[0] and header.width >= d * least[1])
    return next(fits, 1)


def _fault(message: str) -> JpegFault:
    """libjpeg's words in fewer of ours."""
    if "subsampling level" in message:
        return UnusualSampling("unusual chroma sampling")
    if "remature end" in message:
        return JpegFault("cut off: the picture data end early")
    return JpegFault(f"damaged picture data ({message.removeprefix('Corrupt JPEG data: ')})")
