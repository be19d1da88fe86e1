"""The verbs of the command, by name: the one dictionary from a word to its function."""

from __future__ import annotations

from collections.abc import Callable

from pocketvision.cli.analyze import analyze
from pocketvision.cli.list import list_models
from pocketvision.cli.show import show

COMMANDS: dict[str, Callable[..., object]] = {
    "list": list_models,
    "show": show,
    "analyze": analyze,
}
GROUPS: dict[str, tuple[str, dict[str, Callable[..., object]]]] = {}
