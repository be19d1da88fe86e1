"""What a training run is told. One frozen value is the API, the flags and the saved config.json.

A field marked `context` does not decide the losses: it may change between stop and resume. All
others belong to the *trace* and must stay. Standard library only.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from pocketvision.errors import UsageError, closest
from pocketvision.train.duration import seconds
from pocketvision.train.rules import check, check_needs, opt

FORMAT = 1
EPOCHS = 60  # when neither epochs, steps nor time are given
WARMUP_EPOCHS = 3.0
# Peak learning rate for a batch of 64, and how it grows with the batch: Adam's step has a size of
# its own, so noise argues for the square root; SGD's step grows with the gradient. RMSProp's rate
# and rule are MnasNet's (arXiv:1807.11626, with its code).
LR_PER_64 = {"adamw": 3e-3, "sgd": 0.1, "rmsprop": 4e-3}
LR_POWER = {"adamw": 0.5, "sgd": 1.0, "rmsprop": 1.0}
WEIGHT_DECAY = {"adamw": 0.05, "sgd": 5e-4, "rmsprop": 1e-5}
TRACKERS = ("tensorboard", "wandb", "mlflow")
# Fields that mean something only beside certain values of another one.
NEEDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "momentum": ("optimizer", ("sgd", "rmsprop")),
    "nesterov": ("optimizer", ("sgd",)),
    "rmsprop_decay": ("optimizer", ("rmsprop",)),
    "rmsprop_epsilon": ("optimizer", ("rmsprop",)),
    "lr_decay": ("schedule", ("exponential",)),
    "decay_epochs": ("schedule", ("exponential",)),
    "staircase": ("schedule", ("exponential",)),
    "policy_ops": ("policy", ("randaugment",)),
    "policy_magnitude": ("policy", ("randaugment",)),
    "policy_deviation": ("policy", ("randaugment",)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Settings of a run; the defaults suit a few hundred to a few thousand images, from scratch.

    Raises UsageError, naming the flag, for a value that cannot be.
    """

    # fmt: off
    epochs: int | None = opt(
        None, "passes over the training images (60 when nothing else is said)", least=1)
    time: str | None = opt(None, "wall clock that the whole run may take: 90s, 10m, 1h30m")
    steps: int | None = opt(
        None, "optimizer steps; --time notes here what it found, for exact replays", least=1)
    batch_size: int = opt(64, "images a step", least=2)
    accumulate: int = opt(
        1, "batches that one step goes by: K of --batch-size train like one of K times as "
        "many images, but for batch-norm", least=1)
    repeats: int = opt(
        1, "times that an image comes in an epoch, each time augmented anew; the epoch keeps its "
        "length and sees fewer images", least=1)
    optimizer: Literal["adamw", "sgd", "rmsprop"] = opt(
        "adamw", "how weights move; rmsprop by TensorFlow's rules",
        one_of=("adamw", "sgd", "rmsprop"))
    lr: float | None = opt(
        None, "peak learning rate (left out: by optimizer and batch size)", least=1e-8, most=100)
    weight_decay: float | None = opt(
        None, "decay of weights, never of norms and biases", least=0, most=10)
    decay_depthwise: bool = opt(True, "decay depthwise kernels too")
    decay_biases: bool = opt(False, "decay biases too, so that only norms are left out")
    momentum: float | None = opt(
        None, "share of its last step that sgd or rmsprop takes again (0.9)", least=0, most=0.9999)
    nesterov: bool | None = opt(None, "sgd's momentum looks one step ahead (yes)")
    rmsprop_decay: float | None = opt(
        None, "memory of rmsprop's mean square (0.9)", least=0, most=0.9999)
    rmsprop_epsilon: float | None = opt(
        None, "what rmsprop adds to the mean square, inside the root (0.001)", least=1e-12, most=10)
    warmup_epochs: float | None = opt(
        None, "epochs over which the rate rises; with cosine at most a fifth of the run (3)",
        least=0)
    schedule: Literal["cosine", "constant", "exponential"] = opt(
        "cosine", "the rate after the warm-up; constant and exponential do not depend on how long "
        "the run is", one_of=("cosine", "constant", "exponential"))
    lr_decay: float | None = opt(
        None, "exponential: factor on the rate every --decay-epochs (0.97)", least=0.01, most=1)
    decay_epochs: float | None = opt(
        None, "exponential: epochs, counted from the first step (2.4)", least=0.01)
    staircase: bool | None = opt(
        None, "exponential: the rate falls at once after --decay-epochs, not a little every step "
        "(yes)")
    min_lr: float | None = opt(
        None, "rate that the schedule does not go under (0)", least=0, most=100)
    warmup_lr: float | None = opt(
        None, "rate that the warm-up rises from (0)", least=0, most=100)
    label_smoothing: float = opt(
        0.1, "share of the target spread over all classes", least=0, most=0.9)
    ema: float = opt(
        0.998, "decay of the averaged weights, which become the result; 0: none",
        least=0, most=0.99999)
    dropout: float | None = opt(
        None, "dropout before the last layer (left out: the model's own)", least=0, most=0.95)
    drop_path: float = opt(0.0, "share of samples that skip the deepest block", least=0, most=0.9)
    balance: Literal["none", "auto", "sampler", "loss", "logit-adjust"] | None = opt(
        None, "classes of unequal size: sampler draws rare ones more often; loss weighs them more; "
        "logit-adjust asks more of them; auto decides by how unequal they are (none)",
        one_of=("none", "auto", "sampler", "loss", "logit-adjust"))
    augment: str | None = opt(None, "augmentation preset (left out: chosen by the data)")
    views: int | None = opt(
        None, "augmented views of an image, which come again every so many epochs; what a teacher "
        "says of them is kept (left out: new ones in each epoch)", least=1)
    crop_area: float | None = opt(
        None, "smallest share of the image that a random crop keeps, instead of the preset's",
        least=0.01, most=1)
    color_jitter: float | None = opt(
        None, "strength of random brightness, contrast and saturation, instead of the preset's",
        least=0, most=1)
    erasing: float | None = opt(
        None, "share of images in which a random rectangle becomes noise, instead of the preset's",
        least=0, most=1)
    policy: Literal["none", "autoaugment", "randaugment", "trivialaugment"] | None = opt(
        None, "published policy of image operations, instead of the preset's colours",
        one_of=("none", "autoaugment", "randaugment", "trivialaugment"))
    policy_ops: int | None = opt(
        None, "randaugment: operations drawn for an image, each done half of the time (2)",
        least=1, most=8)
    policy_magnitude: float | None = opt(
        None, "randaugment: strength of an operation, 0 to 10 (9)", least=0, most=10)
    policy_deviation: float | None = opt(
        None, "randaugment: standard deviation of that strength (0.5)", least=0, most=10)
    mixup: float | None = opt(
        None, "blend each image and its target with another's; the share is drawn from "
        "Beta(a, a), 0: never", least=0, most=10)
    cutmix: float | None = opt(
        None, "paste a box of another image, its area's share goes to that one's class; with "
        "--mixup each batch takes one of the two", least=0, most=10)
    train_scale: float = opt(
        1.0, "side of training images as a share of the input's; less is faster",
        least=0.25, most=1)
    start_scale: float | None = opt(
        None, "that share at the first step; it grows over two thirds of a run", least=0.25, most=1)
    freeze: Literal["none", "trunk", "gradual"] | None = opt(
        None, "with --from: none trains all of it; trunk fits the last layer alone, in seconds; "
        "gradual lets stages go from the last to the first", one_of=("none", "trunk", "gradual"))
    trunk_lr: float | None = opt(
        None, "learning rate of all but the last layer as a share of its own", least=0, most=1)
    stage_lr: float | None = opt(
        None, "rate of each stage as a share of the next one's", least=0, most=1)
    norms: Literal["batch", "kept"] | None = opt(
        None, "batch-norm statistics while training: of the batch, or kept as they are",
        one_of=("batch", "kept"))
    distill: Literal["kd", "at", "kd+at", "hint", "kd+hint"] | None = opt(
        None, "what is learned from --teacher: its answers (kd), where it looks (at), a map of its "
        "middle (hint) (kd)", one_of=("kd", "at", "kd+at", "hint", "kd+hint"))
    temperature: float | None = opt(
        None, "kd: what both sides' logits are divided by (4)", least=0.1, most=100)
    distill_weight: float | None = opt(
        None, "kd: the teachers' share of the loss, the labels have the rest (0.9)",
        least=0, most=1)
    at_weight: float | None = opt(None, "at: weight of that loss (1000)", least=0)
    hint_weight: float | None = opt(None, "hint: weight of that loss (1)", least=0)
    teacher_size: Literal["same", "own"] | None = opt(
        None, "images that teachers see: of the network's size, or brought to their own (same)",
        one_of=("same", "own"))
    teacher_views: Literal["same", "1"] | None = opt(
        None, "same: teachers see what the network sees; 1: each image once, unaugmented, which is "
        "fast and approximate (same)", one_of=("same", "1"))
    grad_clip: float | None = opt(None, "largest norm of a step's gradient", least=1e-6)
    bn_momentum: float | None = opt(
        None, "weight of a batch in batch-norm's averages (left out: by batch size)",
        least=1e-4, most=1)
    device: str = opt(
        "auto", "where steps are taken: cpu, cuda, cuda:1; auto takes a GPU where PyTorch sees one",
        context=True)
    precision: Literal["float32", "bfloat16"] = opt(
        "float32", "arithmetic of the forward pass", one_of=("float32", "bfloat16"))
    compile: Literal["auto", "on", "off"] = opt(
        "auto", "torch.compile: auto tries it in long runs and takes it where it is faster",
        one_of=("auto", "on", "off"))
    channels_last: bool = opt(True, "memory order that convolutions run fastest in")
    seed: int = opt(
        0, "decides first weights, order, augmentation and dropout", least=0, most=2**31 - 1)
    patience: int | None = opt(
        None, "stop after so many evaluations without a better one, keep the best", least=1)
    eval_every: int | None = opt(
        None, "epochs between evaluations (left out: so that they take a few percent)", least=1)
    known_share: float = opt(
        0.95, "share of right validation answers that stay over the threshold for unknown",
        least=0.5, most=1, context=True)
    threads: int | None = opt(
        None, "processor threads (left out: as many as go fastest, found in the first seconds); "
        "decides the last bits of losses", least=1)
    workers: int | None = opt(
        None, "threads that decode images (left out: one a core)", least=1, context=True)
    rank_timeout: str = opt(
        "5m", "with torchrun: how long processes wait for one that does not answer", context=True)
    skip_bad: bool = opt(
        False, "leave unreadable images out, counted and listed, instead of stopping", context=True)
    checkpoint_minutes: float = opt(5.0, "minutes between checkpoints", least=0, context=True)
    track: str | None = opt(
        None, "tell trackers too, beside results.csv: tensorboard, wandb, mlflow, with commas "
        "between several", context=True)
    # fmt: on

    def __post_init__(self) -> None:
        for f in fields(self):
            check(f, getattr(self, f.name))
        if self.time is not None:
            seconds(self.time)
        seconds(self.rank_timeout, flag="--rank-timeout")
        for name in self.trackers:
            if name not in TRACKERS:
                raise UsageError(
                    f"--track knows no {name!r}{closest(name, TRACKERS)} "
                    f"(it takes {', '.join(TRACKERS)}, with commas between several)"
                )
        self.check_together()

    def check_together(self) -> None:
        """Raise UsageError where settings do not go with each other."""
        check_needs(self, NEEDS)
        if self.compile == "on" and self.distill is not None:
            raise UsageError("--compile on cannot be used with --distill: leave --compile out")
        if self.start_scale is not None and self.start_scale > self.train_scale:
            raise UsageError(
                f"--start-scale {self.start_scale} must not be over --train-scale "
                f"{self.train_scale}; images grow during a run"
            )
        if self.min_lr is not None and self.min_lr > self.peak_lr:
            raise UsageError(
                f"--min-lr {self.min_lr:g} must not be over the rate itself, {self.peak_lr:g}; "
                "give a lower one, or a higher --lr"
            )

    @property
    def time_s(self) -> float | None:
        """The wall clock that the run may take; None without a limit."""
        return None if self.time is None else seconds(self.time)

    @property
    def trackers(self) -> tuple[str, ...]:
        """The names in `track`, each once."""
        names = (name.strip() for name in (self.track or "").split(","))
        return tuple(dict.fromkeys(name for name in names if name))

    @property
    def step_images(self) -> int:
        """Images an optimizer step."""
        return self.batch_size * self.accumulate

    @property
    def peak_lr(self) -> float:
        """The learning rate after the warm-up."""
        if self.lr is not None:
            return self.lr
        return LR_PER_64[self.optimizer] * (self.step_images / 64) ** LR_POWER[self.optimizer]

    @property
    def decay(self) -> float:
        """The weight decay of the weights that are decayed."""
        return WEIGHT_DECAY[self.optimizer] if self.weight_decay is None else self.weight_decay

    @property
    def trunk_share(self) -> float:
        """Learning rate of the last stage as a share of the last layer's."""
        return 1.0 if self.trunk_lr is None else self.trunk_lr

    @property
    def stage_share(self) -> float:
        """Learning rate of a stage as a share of that of the stage behind it."""
        return 1.0 if self.stage_lr is None else self.stage_lr

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values, with the format."""
        return {"format": FORMAT, **dataclasses.asdict(self)}

    def trace(self) -> dict[str, Any]:
        """The fields that decide the losses."""
        return {f.name: getattr(self, f.name) for f in fields(self) if not f.metadata["context"]}


def from_dict(row: Mapping[str, Any]) -> TrainConfig:
    """Read what `to_dict` gave. Raises UsageError for an unknown field or a wrong value."""
    if not isinstance(row, Mapping) or row.get("format", FORMAT) != FORMAT:
        raise UsageError(f"a training config must be an object of format {FORMAT}")
    known = [f.name for f in fields(TrainConfig)]
    values = {k: v for k, v in row.items() if k != "format"}
    for name in values:
        if name not in known:
            raise UsageError(f"the training config has no field {name!r}{closest(name, known)}")
    return TrainConfig(**values)


def digest(values: Mapping[str, Any]) -> str:
    """sha256 of JSON values, whatever the order of their keys."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
