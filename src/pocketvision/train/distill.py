"""What a network can learn from trained ones: their answers, where they look, a map in the middle.

    kd     (1 - a) hard + a T^2 KL(q || p)     arXiv:1503.02531, section 2
    at     hard + b sum_j L_AT^j               arXiv:1612.03928, section 3.1
    hint   hard + c L_HT                       arXiv:1412.6550, equation 3

hard is the loss against the labels; where several are asked for, the last terms add up. With
several teachers q is the mean of their softened answers, and the other losses are means over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pocketvision.errors import UsageError
from pocketvision.model import Network, stages
from pocketvision.nn.init import initialise_
from pocketvision.spec import NetSpec
from pocketvision.train.config import TrainConfig
from pocketvision.train.job import BESIDE, Batch
from pocketvision.train.losses import Hard
from pocketvision.train.teacher import Teacher

Pairs = tuple[tuple[int, int], ...]  # places in the student's and in the teacher's stages


def soft_loss(student_nk: Tensor, teachers_nk: Sequence[Tensor], *, temperature: float) -> Tensor:
    """T^2 mean_n KL(q || p): p = softmax(student / T), q the mean over teachers of
    softmax(teacher / T). T^2 keeps its gradient beside that of the labels as T changes.

    Shapes: (n, k), (n, k) each -> ().   Source: arXiv:1503.02531, section 2.
    """
    q = torch.stack([(z.float() / temperature).softmax(1) for z in teachers_nk]).mean(0)
    log_p = (student_nk.float() / temperature).log_softmax(1)
    return F.kl_div(log_p, q, reduction="batchmean") * temperature**2


def attention_loss(student_nchw: Tensor, teacher_nchw: Tensor) -> Tensor:
    """Mean over images and places of (Q_S / |Q_S| - Q_T / |Q_T|)^2, where Q = sum_c A_c^2 of a map
    A is where it looks, as a vector of h w numbers.

    That is the authors' code, and the text of arXiv:1612.03928, section 4.1, whose weight is 1000
    over batch and places; its equation 2 has half the norm of the difference, not squared. Of maps
    of two sizes the larger Q is averaged down. Shapes: (n, c, h, w), (n, c', h', w') -> ().
    """
    q_s, q_t = alike(_energy(student_nchw), _energy(teacher_nchw))
    return (F.normalize(q_s.flatten(1)) - F.normalize(q_t.flatten(1))).square().mean()


def _energy(x: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, 1, h, w)."""
    return x.float().square().sum(1, keepdim=True)


def hint_loss(guess_nchw: Tensor, teacher_nchw: Tensor) -> Tensor:
    """Half the mean of (guess - map)^2; maps of two sizes are averaged down to the smaller.

    Shapes: (n, c, h, w), (n, c, h', w') -> ().   Source: arXiv:1412.6550, equation 3, which sums.
    """
    guess, wanted = alike(guess_nchw.float(), teacher_nchw.float())
    return 0.5 * (guess - wanted).square().mean()


def alike(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both averaged down to the smaller (h, w) of the two."""
    size = (min(a.shape[2], b.shape[2]), min(a.shape[3], b.shape[3]))
    small = [x if x.shape[2:] == size else F.adaptive_avg_pool2d(x, size) for x in (a, b)]
    return small[0], small[1]


# ------------------------------------------------------------------------------------------ stages


def paired(student: NetSpec, teacher: NetSpec) -> Pairs:
    """Stages of one stride. Raises UsageError where there are none."""
    at = {s.stride: j for j, s in enumerate(stages(teacher))}
    pairs = tuple((i, at[s.stride]) for i, s in enumerate(stages(student)) if s.stride in at)
    if not pairs:
        raise UsageError(
            f"{student.name} and {teacher.name} have no map of one stride, so that at and hint have"
            " nothing to compare; use --distill kd"
        )
    return pairs


def middle(pairs: Pairs) -> tuple[int, int]:
    """The pair that hints go by: the middle one, as FitNets chose."""
    return pairs[len(pairs) // 2]


def regressors(student: NetSpec, teachers: Sequence[Teacher], *, seed: int) -> nn.ModuleList:
    """For each teacher a 1x1 convolution from the student's middle map to the teacher's. They train
    with the student and are no part of the result.
    """
    made = nn.ModuleList()
    for teacher in teachers:
        i, j = middle(paired(student, teacher.network.spec))
        c_in, c_out = stages(student)[i].channels, teacher.network.stages[j].channels
        made.append(nn.Conv2d(c_in, c_out, 1))
    initialise_(made, seed)
    return made


# --------------------------------------------------------------------------------------- objective


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """The objective of a run with teachers; `config` has all that is said of them filled in.

    `known` holds the logits (views, all training images, k) of each teacher where they were judged
    before; without it teachers look at every batch. `still`: an image looks the same each time, and
    has one view. `looks`: a hash of all that decides how a view looks.
    """

    config: TrainConfig
    hard: Hard
    teachers: Sequence[Teacher]
    still: bool = False
    looks: str = ""
    known: Sequence[np.ndarray] | None = None

    @property
    def parts(self) -> list[str]:
        """Of kd, at and hint those that are asked for."""
        return (self.config.distill or "").split("+")

    def __call__(self, network: nn.Module, batch: Batch) -> Tensor:
        """The loss of a batch, a scalar."""
        student = cast(Network, network)
        if self.parts == ["kd"]:
            return self._answered(student(batch.x), batch, self._logits(batch))
        logits, maps = student.staged(batch.x)
        told = [teacher.staged(batch.x) for teacher in self.teachers]
        loss = self._answered(logits, batch, [answer for answer, _ in told])
        extra = [
            self._looked(student, maps, teacher, seen, i)
            for i, (teacher, (_, seen)) in enumerate(zip(self.teachers, told, strict=True))
        ]
        return loss + torch.stack(extra).mean()

    def _logits(self, batch: Batch) -> list[Tensor]:
        """Each teacher's answers (n, k) about a batch."""
        if self.known is None:
            return [teacher.answer(batch.x) for teacher in self.teachers]
        view = batch.view % len(self.known[0])
        return [torch.from_numpy(z[view, batch.indices]).to(batch.x.device) for z in self.known]

    def _answered(self, logits: Tensor, batch: Batch, answers: Sequence[Tensor]) -> Tensor:
        """The loss against labels, and with kd that against the teachers' answers."""
        hard, config = self.hard(logits, batch.truth), self.config
        if "kd" not in self.parts:
            return hard
        assert config.distill_weight is not None
        assert config.temperature is not None
        soft = soft_loss(logits, answers, temperature=config.temperature)
        return (1 - config.distill_weight) * hard + config.distill_weight * soft

    def _looked(
        self,
        student: Network,
        maps: Sequence[Tensor],
        teacher: Teacher,
        seen: Sequence[Tensor],
        number: int,
    ) -> Tensor:
        """The weighted loss of maps against those of one teacher."""
        pairs = paired(student.spec, teacher.network.spec)
        if "at" in self.parts:
            losses = [attention_loss(maps[i], seen[j]) for i, j in pairs]
            return torch.stack(losses).sum() * (self.config.at_weight or 0.0)
        i, j = middle(pairs)
        guess = student.get_submodule(f"{BESIDE}.{number}")(maps[i])
        return hint_loss(guess, seen[j]) * (self.config.hint_weight or 0.0)
