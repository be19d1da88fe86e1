"""What a person told a run: the flags that were given, and the recipe that fills the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pocketvision.errors import UsageError
from pocketvision.train import recipes
from pocketvision.train.config import TrainConfig

if TYPE_CHECKING:
    from pocketvision.data.dataset import Dataset


class Told(TrainConfig):
    """A config that knows which of its fields were given: a flag at its default is a choice too.

    The parser makes one from the flags that it met, and from nothing else.
    """

    __slots__ = ("given",)
    given: Mapping[str, Any]

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        object.__setattr__(self, "given", MappingProxyType(given))

    def check_together(self) -> None:
        """Nothing: what is told may belong to what a recipe brings, and is checked beside it."""

    def plain(self) -> TrainConfig:
        """The config alone."""
        return TrainConfig(**{f.name: getattr(self, f.name) for f in fields(TrainConfig)})


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A config, the recipe that filled it (None: none), and a line that says so, or none."""

    config: TrainConfig
    recipe: str | None
    line: str


def filled(told: Told, recipe: str | None, dataset: Dataset, *, from_weights: bool) -> Filled:
    """What was told, the rest from the recipe of that name, or from the one that suits the data.

    A run from weights has defaults of its own, so that only a recipe that was named fills it.
    Raises UnknownName, UsageError.
    """
    if recipe is None and from_weights:
        return Filled(config=told.plain(), recipe=None, line="")
    images = len(dataset.splits.get("train", ()))
    name = recipe or recipes.default(images).name
    config = recipes.filled(name, told.given, photos=dataset.root is not None)
    why = "as asked for" if recipe else f"the default for {images} training images"
    return Filled(config=config, recipe=name, line=f"recipe: {name}, {why}\n")


def check_no_recipe(recipe: str | None) -> None:
    """Raise UsageError where --recipe stands beside --resume."""
    if recipe is not None:
        raise UsageError("--resume goes on with the settings that the run had; leave --recipe out")
