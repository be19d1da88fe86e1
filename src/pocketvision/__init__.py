"""Small image networks: chosen, trained, costed, exported, measured, and proven equal.

The names below are loaded when first used, so that `import pocketvision` costs nothing: neither
torch nor any runtime is imported before something needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pocketvision.bundle import Bundle as Bundle
    from pocketvision.bundle import load as load_bundle
    from pocketvision.bundle import save as save_bundle
    from pocketvision.cost import cost as cost_of
    from pocketvision.data.read import read as read_data
    from pocketvision.errors import PocketvisionError as PocketvisionError
    from pocketvision.export.artifact import make as export_bundle
    from pocketvision.export.open import open_model as open_model
    from pocketvision.labels import Labels as Labels
    from pocketvision.model import Network as Network
    from pocketvision.model import build as build
    from pocketvision.preprocess import Preprocess as Preprocess
    from pocketvision.preprocess import prepare as prepare
    from pocketvision.spec import NetSpec as NetSpec
    from pocketvision.train.config import TrainConfig as TrainConfig
    from pocketvision.train.run import train_run as train_run
    from pocketvision.zoo.lookup import resolve as resolve

__version__ = "0.1.0"

_HOMES = {
    "Bundle": ("bundle", "Bundle"),
    "Labels": ("labels", "Labels"),
    "NetSpec": ("spec", "NetSpec"),
    "Network": ("model", "Network"),
    "PocketvisionError": ("errors", "PocketvisionError"),
    "Preprocess": ("preprocess", "Preprocess"),
    "TrainConfig": ("train.config", "TrainConfig"),
    "build": ("model", "build"),
    "cost_of": ("cost", "cost"),
    "export_bundle": ("export.artifact", "make"),
    "load_bundle": ("bundle", "load"),
    "open_model": ("export.open", "open_model"),
    "prepare": ("preprocess", "prepare"),
    "read_data": ("data.read", "read"),
    "resolve": ("zoo.lookup", "resolve"),
    "save_bundle": ("bundle", "save"),
    "train_run": ("train.run", "train_run"),
}

__all__ = [
    "Bundle",
    "Labels",
    "NetSpec",
    "Network",
    "PocketvisionError",
    "Preprocess",
    "TrainConfig",
    "build",
    "cost_of",
    "export_bundle",
    "load_bundle",
    "open_model",
    "prepare",
    "read_data",
    "resolve",
    "save_bundle",
    "train_run",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'pocketvision' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(f"pocketvision.{module}"), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
