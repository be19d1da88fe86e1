"""The verbs of the command, by name: the one dictionary from a word to its function."""

from __future__ import annotations

from collections.abc import Callable

from pocketvision.cli.analyze import analyze
from pocketvision.cli.bench import bench
from pocketvision.cli.doctor import doctor
from pocketvision.cli.export import export
from pocketvision.cli.list import list_models
from pocketvision.cli.show import show

COMMANDS: dict[str, Callable[..., object]] = {
    "list": list_models,
    "show": show,
    "analyze": analyze,
    "export": export,
    "bench": bench,
    "doctor": doctor,
}
GROUPS: dict[str, tuple[str, dict[str, Callable[..., object]]]] = {}
# How the overview lists them: first look, then data, training, use, delivery.
ORDER = (
    "list",
    "show",
    "analyze",
    "data check",
    "train",
    "report",
    "eval",
    "predict",
    "export",
    "bench",
    "doctor",
)
