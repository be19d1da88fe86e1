"""How networks of this line were trained, as tables: what `train --recipe NAME` sets.

Each recipe names its source, what was published, and what it sets of TrainConfig. Batch sizes are
left to the machine: rates are for 256 images a step and follow the batch by the recipe's own rule.
Published figures are ImageNet-1k top-1, and none of them was measured here. Where sources
contradict each other, `taken` says which was followed. Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pocketvision.errors import UnknownName, closest
from pocketvision.train.config import LR_POWER, NEEDS, TrainConfig
from pocketvision.train.rules import flag

SMALL = 5000  # training images from which on `modern` is the default
SMALL_DATA, MODERN = "small-data", "modern"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Settings with their source; `published` is the call, the machine and the figure there.

    lr_per_256  peak learning rate for 256 images a step; None: the optimizer's usual one
    sets        fields of TrainConfig; rates among them are for 256 images too
    """

    name: str
    source: str
    published: str
    machine: str
    figure: str
    taken: str
    lr_per_256: float | None = None
    sets: Mapping[str, Any] = field(default_factory=dict)


TF_RMSPROP: Mapping[str, Any] = {
    "optimizer": "rmsprop", "momentum": 0.9, "rmsprop_decay": 0.9, "schedule": "exponential",
}  # fmt: skip

MOBILENET_V1 = Recipe(
    name="mobilenet_v1",
    source="arXiv:1704.04861, section 3.2; TF-slim mobilenet_v1_train.py; arXiv:1512.00567, 8",
    published="mobilenet_v1_train.py: SGD 0.045, x0.94 every 2.5 epochs, batch 64, "
    "weight decay 4e-5",
    machine="asynchronous GPU workers, their number not given",
    figure="70.6 (paper)",
    taken="The script's rate, decay and batch. The optimizer is the paper's, RMSProp as for "
    "Inception-V3 (epsilon 1, 100 epochs), where the script has plain SGD. As the paper says: no "
    "decay on depthwise kernels, no label smoothing, no strong crops.",
    lr_per_256=0.18,
    sets={
        **TF_RMSPROP, "rmsprop_epsilon": 1.0, "epochs": 100, "lr_decay": 0.94, "decay_epochs": 2.5,
        "warmup_epochs": 0.0, "weight_decay": 4e-5, "decay_depthwise": False,
        "label_smoothing": 0.0, "ema": 0.0, "dropout": 0.001,
    },
)  # fmt: skip
MOBILENET_V2 = Recipe(
    name="mobilenet_v2",
    source="arXiv:1801.04381, section 6.1; TF-slim nets/mobilenet/README.md",
    published="train_image_classifier.py --learning_rate=0.36 --batch_size=96 --num_clones=8 "
    "--learning_rate_decay_factor=0.98 --label_smoothing=0.1 --moving_average_decay=0.9999",
    machine="8 GPUs, 700,000 steps",
    figure="72.0 (both)",
    taken="The README, which states the call that reaches 72.0: x0.98 every 2.5 epochs. The paper "
    "has x0.98 every epoch, with 16 asynchronous workers of 96 images. Epsilon 1 is the script's "
    "default, 420 epochs are its steps.",
    lr_per_256=0.12,
    sets={
        **TF_RMSPROP, "rmsprop_epsilon": 1.0, "epochs": 420, "lr_decay": 0.98, "decay_epochs": 2.5,
        "warmup_epochs": 0.0, "weight_decay": 4e-5, "decay_depthwise": False,
        "label_smoothing": 0.1, "ema": 0.9999, "dropout": 0.2, "crop_area": 0.05,
    },
)  # fmt: skip
MOBILENET_V3 = Recipe(
    name="mobilenet_v3",
    source="arXiv:1905.02244, section 6.1.1; what it leaves open from the code of MnasNet",
    published="RMSProp 0.1, x0.99 every 3 epochs, batch 4096, weight decay 1e-5",
    machine="4x4 TPU pod",
    figure="75.2 large, 67.4 small (paper)",
    taken="The paper. Not in it and taken from MnasNet's code: epsilon, warm-up, label smoothing. "
    "The length is torchvision's 600 epochs. The paper's dropout of 0.8 is what is kept.",
    lr_per_256=0.1 * 256 / 4096,
    sets={
        **TF_RMSPROP, "rmsprop_epsilon": 1e-3, "epochs": 600, "lr_decay": 0.99, "decay_epochs": 3.0,
        "warmup_epochs": 5.0, "weight_decay": 1e-5, "decay_depthwise": False,
        "label_smoothing": 0.1, "ema": 0.9999, "dropout": 0.2, "bn_momentum": 0.01,
        "crop_area": 0.05,
    },
)  # fmt: skip
MOBILENEXT = Recipe(
    name="mobilenext",
    source="arXiv:2007.02269, section 4; logs of the authors' code",
    published="--opt sgd --lr 0.1 --sched cosine --warmup-epochs 3 --warmup-lr 1e-4 --min-lr 1e-5 "
    "--weight-decay 1e-4 --color-jitter 0.4 --smoothing 0.1, batch 64 a GPU",
    machine="GPUs, their number not logged (4 in the paper)",
    figure="74.02 (paper), 74.02 and 74.09 (logs)",
    taken="The logs, read as 4 GPUs. The paper has a rate of 0.05 and a weight decay of 4e-5. The "
    "10 epochs at the least rate that the logs add to the 200 are left out.",
    lr_per_256=0.1,
    sets={
        "optimizer": "sgd", "momentum": 0.9, "nesterov": True, "schedule": "cosine", "epochs": 200,
        "warmup_epochs": 3.0, "warmup_lr": 1e-4, "min_lr": 1e-5, "weight_decay": 1e-4,
        "label_smoothing": 0.1, "ema": 0.0, "dropout": 0.2, "crop_area": 0.08, "color_jitter": 0.4,
    },
)  # fmt: skip
REXNET = Recipe(
    name="rexnet",
    source="arXiv:2007.00992, section 4.1; README of the authors' code",
    published="--opt sgd --lr 0.5 --sched cosine --epochs 400 --weight-decay 1e-5 "
    "--aa rand-m9-mstd0.5 --reprob 0.2 --remode pixel --drop 0.2, batch 128 a GPU",
    machine="4 GPUs",
    figure="77.9 for width 1.0 (README)",
    taken="The README. The paper's first recipe has the same rate and decay, without RandAugment "
    "and erasing. Of its RandAugment those operations grow stronger with the magnitude that "
    "timm's plain form lets grow weaker.",
    lr_per_256=0.25,
    sets={
        "optimizer": "sgd", "momentum": 0.9, "nesterov": True, "schedule": "cosine", "epochs": 400,
        "warmup_epochs": 5.0, "weight_decay": 1e-5, "label_smoothing": 0.1, "ema": 0.0,
        "dropout": 0.2, "crop_area": 0.08, "policy": "randaugment", "policy_ops": 2,
        "policy_magnitude": 9.0, "policy_deviation": 0.5, "erasing": 0.2,
    },
)  # fmt: skip
MIXNET = Recipe(
    name="mixnet",
    source="arXiv:1907.09595, section 4; the authors' code for TPUs (MnasNet's main)",
    published="RMSProp 0.016 for 256 images, x0.97 every 2.4 epochs, batch 1024, 437,898 steps",
    machine="TPUs",
    figure="75.8 S, 77.0 M, 78.9 L (paper)",
    taken="The code. Weight decay reaches all but batch-norm: biases and depthwise kernels too. "
    "Dropout is the network's own, 0.2 for S and 0.25 for M and L.",
    lr_per_256=0.016,
    sets={
        **TF_RMSPROP, "rmsprop_epsilon": 1e-3, "epochs": 350, "lr_decay": 0.97, "decay_epochs": 2.4,
        "warmup_epochs": 5.0, "weight_decay": 1e-5, "decay_depthwise": True, "decay_biases": True,
        "label_smoothing": 0.1, "ema": 0.9999, "crop_area": 0.08, "color_jitter": 0.0,
    },
)  # fmt: skip
MODERN_RECIPE = Recipe(
    name=MODERN,
    source="torchvision's second weights (pull request 5560) and timm's runs of small networks",
    published="torchvision: SGD 0.5, batch 1024, cosine, 600 epochs, TrivialAugment, erasing 0.1, "
    "mixup 0.2, cutmix 1, weight decay 2e-5, train crop 176",
    machine="8 GPUs",
    figure="72.15 MobileNetV2, 75.27 MobileNetV3-Large (torchvision's own recipe, not this one)",
    taken="Their augmentation, smaller training images and long cosine, with the optimizer of "
    "small-data, whose rate needs less care. No mixup and cutmix, which are reported to cost "
    "networks of this size more than they give. 150 epochs instead of 600.",
    lr_per_256=4e-3,
    sets={
        "optimizer": "adamw", "schedule": "cosine", "epochs": 150, "warmup_epochs": 5.0,
        "weight_decay": 0.05, "label_smoothing": 0.1, "ema": 0.9998, "policy": "trivialaugment",
        "erasing": 0.1, "train_scale": 0.786,
    },
)  # fmt: skip
SMALL_DATA_RECIPE = Recipe(
    name=SMALL_DATA,
    source="measured on digits and flowers5 (docs/log.md)",
    published="none",
    machine="2 cores",
    figure="none on ImageNet; see README",
    taken="The defaults of every flag.",
)

RECIPES: dict[str, Recipe] = {
    "small-data": SMALL_DATA_RECIPE,
    "modern": MODERN_RECIPE,
    "mobilenet_v1": MOBILENET_V1,
    "mobilenet_v2": MOBILENET_V2,
    "mobilenet_v3": MOBILENET_V3,
    "mobilenext": MOBILENEXT,
    "rexnet": REXNET,
    "mixnet": MIXNET,
}
# What belongs to a photo and would spoil signs such as digits.
FOR_PHOTOS = ("crop_area", "color_jitter", "policy")
LENGTHS = ("epochs", "steps", "time")
RATES = ("warmup_lr", "min_lr")


def find(name: str) -> Recipe:
    """The recipe of that name. Raises UnknownName."""
    if name not in RECIPES:
        raise UnknownName(
            f"no recipe {name!r}{closest(name, RECIPES)} (--recipe takes: {', '.join(RECIPES)})"
        )
    return RECIPES[name]


def default(images: int) -> Recipe:
    """What so many training images are trained by when nothing else is said."""
    return RECIPES[SMALL_DATA if images < SMALL else MODERN]


def in_flags(recipe: Recipe) -> str:
    """What the recipe sets, as flags; rates are those for 256 images a step."""
    sets = recipe.sets if recipe.lr_per_256 is None else {"lr": recipe.lr_per_256, **recipe.sets}
    return " ".join(_flag(name, value) for name, value in sets.items())


def _flag(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return flag(name) if value else f"--no-{flag(name)[2:]}"
    return f"{flag(name)} {value:g}" if isinstance(value, float) else f"{flag(name)} {value}"


def filled(name: str, given: Mapping[str, Any], *, photos: bool = True) -> TrainConfig:
    """The config of a recipe, but for what is `given`, which wins; without `photos` the parts of
    augmentation that only photos bear are left out.

    What belongs to a setting goes where that one is given otherwise: a length with any other
    length, the rate and its companions with another optimizer, a policy's numbers with another
    policy. Raises UnknownName, and UsageError for values that cannot be.
    """
    recipe = find(name)
    sets = {k: v for k, v in recipe.sets.items() if k not in _gone(recipe, given, photos)}
    rates = {k: sets.pop(k) for k in RATES if k in sets}
    if recipe.lr_per_256 is not None and not _other(recipe, given, "optimizer"):
        rates["lr"] = recipe.lr_per_256
        times = _times(recipe.sets["optimizer"], given)
        sets |= {k: v * times for k, v in rates.items()}
    return TrainConfig(**{**sets, **given})


def _times(optimizer: str, given: Mapping[str, Any]) -> float:
    """What a rate for 256 images is multiplied by, as the optimizer's rule wants it."""
    batch = {k: given[k] for k in ("batch_size", "accumulate") if k in given}
    times: float = (TrainConfig(**batch).step_images / 256) ** LR_POWER[optimizer]
    return times


def _gone(recipe: Recipe, given: Mapping[str, Any], photos: bool) -> set[str]:
    """Fields of the recipe that what was given makes void."""
    gone = {name for name, (other, _) in NEEDS.items() if _other(recipe, given, other)}
    if _other(recipe, given, "optimizer"):
        gone |= {"weight_decay", *RATES}
    if "lr" in given:
        gone |= {*RATES}
    if given.get("freeze") == "trunk" or any(name in given for name in LENGTHS):
        gone |= {*LENGTHS}
    if "augment" in given:
        gone |= {"erasing"}
    if "start_scale" in given:
        gone |= {"train_scale"}
    if not photos or "augment" in given:
        gone |= {*FOR_PHOTOS} | {name for name, (other, _) in NEEDS.items() if other == "policy"}
    return gone


def _other(recipe: Recipe, given: Mapping[str, Any], name: str) -> bool:
    """True where a setting was given that is not the recipe's."""
    return name in given and given[name] != recipe.sets.get(name)
