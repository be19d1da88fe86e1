"""The process in which unknown files are decoded: it may be killed without harm.

It says `ready`; then a line on stdin is a JSON string, the path of a file, and the line on stdout
that answers it is a JSON object, what was found. The other end is in inspection.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from pathlib import Path

from pocketvision.data.fingerprint import fingerprint
from pocketvision.decode import decode, read_bytes
from pocketvision.errors import ImageError

DIGEST_BYTES = 16


def look(path: Path) -> dict[str, object]:
    """digest, size [h, w] and fingerprint (hex or None) of an image file; or the reason it is
    bad.
    """
    try:
        data = read_bytes(path)
        image = decode(data)
    except ImageError as e:
        return {"reason": e.reason}
    except MemoryError:
        return {"reason": "needs more memory than allowed"}
    marks = fingerprint(image)
    return {
        "digest": hashlib.blake2b(data, digest_size=DIGEST_BYTES).hexdigest(),
        "size": list(image.shape[:2]),
        "fingerprint": marks.hex() if marks else None,
    }


def main(memory_bytes: int) -> None:
    """Answer until stdin ends, within `memory_bytes` of address space where that can be set."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    _say("ready")
    for line in sys.stdin:
        _say(json.dumps(look(Path(json.loads(line)))))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
