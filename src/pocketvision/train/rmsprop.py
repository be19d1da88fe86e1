"""RMSProp as TensorFlow has it, for which the rates of the papers are meant.

It differs from torch.optim.RMSprop in three places, each of which changes a run: the epsilon stands
inside the root, the mean square starts at 1, and the momentum holds steps, with the rate they were
made with in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class RMSProp(Optimizer):
    """With gradient g (plus `weight_decay` times the weight w), mean square s and steps m:

        s <- s + (1 - decay) (g^2 - s),    m <- momentum m + lr g / sqrt(s + epsilon),    w <- w - m

    Source: tf.train.RMSPropOptimizer (training_ops: ApplyRMSProp), not centred; the decay of
    weights is that of an L2 loss, as TensorFlow's training scripts add it.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        decay: float = 0.9,
        momentum: float = 0.9,
        epsilon: float = 1e-3,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {
            "lr": lr,
            "decay": decay,
            "momentum": momentum,
            "epsilon": epsilon,
            "weight_decay": weight_decay,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move every weight that has a gradient; the closure's value, where one is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            moving = [p for p in group["params"] if p.grad is not None]
            if moving:
                self._move(moving, group)
        return loss

    def _move(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        squares = [self._kept(p)["mean_square"] for p in weights]
        steps = [self._kept(p)["momentum"] for p in weights]
        grads = [p.grad for p in weights if p.grad is not None]
        if group["weight_decay"]:
            grads = list(torch._foreach_add(grads, weights, alpha=group["weight_decay"]))
        torch._foreach_lerp_(squares, torch._foreach_mul(grads, grads), 1 - group["decay"])
        roots = torch._foreach_add(squares, group["epsilon"])
        torch._foreach_sqrt_(roots)
        torch._foreach_mul_(steps, group["momentum"])
        torch._foreach_addcdiv_(steps, grads, roots, value=group["lr"])
        torch._foreach_sub_(weights, steps)

    def _kept(self, p: Tensor) -> dict[str, Tensor]:
        """The weight's mean square and momentum; 1 and 0 at first."""
        kept: dict[str, Tensor] = self.state[p]
        if not kept:
            kept["mean_square"] = torch.ones_like(p)
            kept["momentum"] = torch.zeros_like(p)
        return kept
