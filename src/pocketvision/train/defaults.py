"""What a run is told where its user left it open, by where it starts. Standard library only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pocketvision.errors import UsageError
from pocketvision.train.config import TrainConfig
from pocketvision.train.rules import flag

# The same from weights, which are near a good place already: shorter, gentler, and the trunk slower
# than the new last layer.
FROM_WEIGHTS: dict[str, Any] = {
    "freeze": "none", "epochs": 12, "lr": 1e-3, "warmup_epochs": 0.5, "trunk_lr": 0.1,
    "norms": "batch",
}  # fmt: skip
STAGE_LR = 0.7  # with --freeze gradual


def from_weights(config: TrainConfig) -> TrainConfig:
    """The config of a run that starts from weights: what was left open gets the values that suit
    it. Raises UsageError for a length where only the last layer is fitted.
    """
    given: dict[str, Any] = {"freeze": config.freeze or FROM_WEIGHTS["freeze"]}
    if given["freeze"] == "trunk":
        _check_no_length(config)
        return replace(config, **given)
    for name, value in FROM_WEIGHTS.items():
        lengths = (config.epochs, config.time, config.steps) if name == "epochs" else ()
        if getattr(config, name) is None and not any(lengths):
            given[name] = value
    if config.freeze == "gradual" and config.stage_lr is None:
        given["stage_lr"] = STAGE_LR
    return replace(config, **given)


def _check_no_length(config: TrainConfig) -> None:
    for name in ("epochs", "steps"):
        if getattr(config, name) is not None:
            raise UsageError(
                f"--freeze trunk fits the last layer until nothing moves, it has no {name}; leave "
                f"{flag(name)} out, or let more of the network train: --freeze gradual"
            )
