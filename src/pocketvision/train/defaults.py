"""What a run is told where its user left it open, by where it starts. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
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
# With teachers. Temperature and share of kd, and the weight of at, are those of the authors of
# attention transfer (arXiv:1612.03928, section 4.1, and their code).
ALWAYS_TAUGHT: dict[str, Any] = {"teacher_size": "same", "teacher_views": "same"}
BY_PART: dict[str, dict[str, Any]] = {
    "kd": {"temperature": 4.0, "distill_weight": 0.9},
    "at": {"at_weight": 1000.0},
    "hint": {"hint_weight": 1.0},
}


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


def with_teachers(config: TrainConfig, count: int) -> TrainConfig:
    """The config of a run with so many teachers: what was left open about them gets its values.

    Raises UsageError for what is said of teachers without any, of a part of distillation that is
    not asked for, and where nothing could be learned from them.
    """
    kind = config.distill or "kd"
    parts = kind.split("+") if count else []
    allowed = {"distill": kind, **ALWAYS_TAUGHT} if count else {}
    for part in parts:
        allowed |= BY_PART[part]
    _check_teaching(config, allowed, taught=count > 0)
    given = {name: value for name, value in allowed.items() if getattr(config, name) is None}
    return replace(config, **given)


def _check_teaching(config: TrainConfig, allowed: Mapping[str, Any], *, taught: bool) -> None:
    names = ["distill", *ALWAYS_TAUGHT, *(n for values in BY_PART.values() for n in values)]
    for name in names:
        if getattr(config, name) is not None and name not in allowed:
            advice = (
                f"has no part in --distill {allowed['distill']}; leave it out, or ask for more"
                if taught
                else "needs a network to learn from: add --teacher BUNDLE"
            )
            raise UsageError(f"{flag(name)} {getattr(config, name)} {advice}")
    if taught and config.freeze == "trunk":
        raise UsageError(
            "--freeze trunk fits the last layer to labels alone, nothing is learned from --teacher;"
            " leave one of the two out"
        )
    if config.teacher_views == "1":
        _check_one_view(config, allowed["distill"])


def _check_one_view(config: TrainConfig, kind: str) -> None:
    """Raise UsageError where what a teacher says of a whole image cannot stand for what is seen."""
    if kind != "kd":
        raise UsageError(
            f"--teacher-views 1 keeps a teacher's answers, --distill {kind} needs its maps of what "
            "the network sees; leave one of the two out"
        )
    for name in ("mixup", "cutmix"):
        if getattr(config, name):
            raise UsageError(
                f"--teacher-views 1 keeps a teacher's answers about whole images, {flag(name)} "
                "shows mixed ones; leave one of the two out"
            )
