"""What travels inside an exported file, so that it works after it was moved: contract and labels.

Texts under fixed keys; ONNX keeps them as `metadata_props`, OpenVINO as `rt_info`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pocketvision import __version__, spec_json
from pocketvision import decision as decision_json
from pocketvision import labels as labels_json
from pocketvision import preprocess as contract
from pocketvision.decision import Decision
from pocketvision.errors import BundleError, PocketvisionError
from pocketvision.labels import Labels
from pocketvision.preprocess import Preprocess

if TYPE_CHECKING:
    from pocketvision.bundle import Bundle

FORMAT = "1"
PREFIX = "pocketvision."
NEEDED = ("format", "version", "preprocess", "labels", "precision", "spec_sha256", "weights_sha256")
KEYS = (*NEEDED, "decision")  # the last only where one was fitted


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """The parsed texts. `precision` is the one that the file was proven at."""

    version: str
    preprocess: Preprocess
    labels: Mapping[str, Labels]
    precision: str
    spec_sha256: str
    weights_sha256: str
    decision: Mapping[str, Decision] = field(default_factory=dict)


def texts(bundle: Bundle, *, precision: str) -> dict[str, str]:
    """Every text to embed, by its key with the prefix."""
    from safetensors.torch import save

    rows = {
        "format": FORMAT,
        "version": __version__,
        "preprocess": contract.dumps(bundle.preprocess),
        "labels": labels_json.dumps(bundle.labels),
        "precision": precision,
        "spec_sha256": digest(spec_json.dumps(bundle.spec).encode()),
        # The same bytes as the bundle's weights.safetensors, so that the two can be matched.
        "weights_sha256": digest(save(dict(bundle.weights))),
    }
    if bundle.decision:
        rows["decision"] = decision_json.dumps(bundle.decision)
    return {PREFIX + key: text for key, text in rows.items()}


def digest(data: bytes) -> str:
    """sha256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def parsed(found: Mapping[str, str], *, file: object) -> Metadata:
    """The metadata of `file` from its texts. Raises BundleError that says what is missing."""
    rows = {key.removeprefix(PREFIX): value for key, value in found.items()}
    if missing := [key for key in NEEDED if key not in rows]:
        raise BundleError(
            f"{file} does not say how its images are prepared: it lacks {PREFIX}{missing[0]}; "
            "it was made by another program or its metadata were stripped: export the bundle again"
        )
    if rows["format"] != FORMAT:
        raise BundleError(
            f"{file} has metadata of format {rows['format']!r}, this version reads {FORMAT}: "
            "upgrade pocketvision or export again"
        )
    return _from_rows(rows, file)


def _from_rows(rows: Mapping[str, str], file: object) -> Metadata:
    try:
        preprocess = contract.loads(rows["preprocess"])
        labels = labels_json.loads(rows["labels"])
        decision = decision_json.loads(rows["decision"]) if "decision" in rows else {}
    except PocketvisionError as e:
        raise BundleError(f"{file} has damaged metadata: {e}; export the bundle again") from None
    rest = {k: rows[k] for k in ("version", "precision", "spec_sha256", "weights_sha256")}
    return Metadata(preprocess=preprocess, labels=labels, decision=decision, **rest)
