"""Flags that several verbs share, as frozen values with their help, and how they are read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from pocketvision import spec_json
from pocketvision.errors import BundleError, UsageError
from pocketvision.spec import NetSpec

Flag = Annotated[bool, Parameter(negative="")]
Json = Annotated[bool, Parameter(name="--json", negative="", help="print JSON on stdout")]
Overwrite = Annotated[
    bool, Parameter(name="--overwrite", negative="", help="replace an existing output")
]


def opt(default: Any, text: str) -> Any:
    """A dataclass field with its help text."""
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """What a zoo function may be told; a field left out keeps the model's own default."""

    width: float | None = opt(None, "width multiplier, e.g. 0.75")
    resolution: str | None = opt(None, "input size: 224, or HEIGHTxWIDTH such as 192x160")
    in_channels: int | None = opt(None, "channels of the image: 3 RGB, 1 grey")
    numerics: str | None = opt(
        None, "padding, epsilon and width rule: torch, tf, torchvision, keras"
    )
    minimalistic: bool | None = opt(None, "MobileNetV3 without gates, hard-swish and 5x5 kernels")
    identity: float | None = opt(None, "MobileNeXt: share of channels that the shortcut adds")
    depth: float | None = opt(None, "multiplier of the repeats, where the model has one")
    groups: int | None = opt(None, "ShuffleNetV1: groups of its 1x1 convolutions, 3 or 8")

    def given(self, **more: Any) -> dict[str, Any]:
        """The fields that were given and `more`, without None, the resolution as numbers."""
        rows = {f.name: getattr(self, f.name) for f in fields(self)} | more
        rows = {k: v for k, v in rows.items() if v is not None}
        if self.resolution is not None:
            rows["resolution"] = resolution(self.resolution)
        return rows


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """How images are split and brought to size."""

    val_fraction: float = opt(0.2, "share held out for validation where the data have no split")
    split_seed: int = opt(0, "seed of that split; --seed does not change it")
    group_by: str | None = opt(
        None,
        "images that no split and no fold may tear apart: folder (the first below the class), "
        "regex:PATTERN (its first parentheses in the file's name) or column:NAME (of a table)",
    )
    resize: str | None = opt(
        None, "crop, squash or letterbox: how an image comes to the input's shape (crop)"
    )
    crop_fraction: float | None = opt(
        None, "share of the image that crop keeps; 0.875 cuts the margins (1)"
    )
    input_scaling: str | None = opt(
        None, "imagenet, -1..1, 0..1 or 0..255: how pixels become numbers (imagenet)"
    )

    def split(self) -> dict[str, Any]:
        """What reading the data takes of it."""
        return {"seed": self.split_seed, "val_fraction": self.val_fraction,
                "group_by": self.group_by}  # fmt: skip


Model = Annotated[ModelOptions, Parameter(name="*")]


def resolution(text: str) -> int | tuple[int, int]:
    """224 from "224", (192, 160) from "192x160". Raises UsageError."""
    found = re.fullmatch(r"(\d{1,5})(?:[x,](\d{1,5}))?", text.strip())
    if not found:
        raise UsageError(f"--resolution must be 224 or HEIGHTxWIDTH such as 192x160, got {text!r}")
    height, width = found.group(1), found.group(2)
    return int(height) if width is None else (int(height), int(width))


def spec_of(name: str, options: ModelOptions, *, classes: int | None = None) -> NetSpec:
    """The spec of a zoo name, or of a bundle folder or spec file. Raises UnknownName, SpecError."""
    path = Path(name)
    if path.is_dir() or path.suffix == ".json":
        return _spec_from_disk(path, options.given(classes=classes))
    from pocketvision.zoo.lookup import resolve

    found: NetSpec = resolve(name, **options.given(classes=classes))
    return found


def _spec_from_disk(path: Path, given: dict[str, Any]) -> NetSpec:
    if given:
        raise UsageError(f"--{next(iter(given))} cannot change a saved network; name a zoo model")
    file = path / "spec.json" if path.is_dir() else path
    try:
        return spec_json.loads(file.read_bytes())
    except FileNotFoundError:
        raise BundleError(f"{path} is not a bundle: {file.name} is missing") from None
    except OSError as e:
        raise BundleError(f"cannot read {file}: {e.strerror}") from None
