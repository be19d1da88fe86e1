"""What one process of several does in a test: `python -m tests.train.rank_cases FOLDER CASE ...`,
with torchrun's variables in the environment. Writes FOLDER/RANK.pt, a dictionary by case.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from pocketvision.cli.ranks import entered
from pocketvision.errors import PocketvisionError
from pocketvision.model import build
from pocketvision.nn.sync import SyncNorm
from pocketvision.train import features, rounds, step
from pocketvision.train import state as states
from pocketvision.train.batches import batch
from pocketvision.train.clock import Clock
from pocketvision.train.loop import fit
from pocketvision.zoo.lookup import resolve
from tests.train.tiny import job_of, losses

# Batches of seven and eight: shares that differ by an image, over two processes and over three.
SETTINGS = {"drop_path": 0.4, "batch_size": 8}
RUN = {"epochs": 2, "lr": 0.01, "optimizer": "sgd", "drop_path": 0.4, "eval_every": 1}
NETWORKS = ("mobilenet_v3_small", "squeezenet_1_1", "resnet18")


def exact(network, batch):
    """A loss in the arithmetic of the logits; a run's own is always in float32."""
    return F.cross_entropy(network(batch.x), batch.truth, label_smoothing=0.1)


def gradients(job, at=2):
    """Loss and gradients of one step in float64, and the statistics that it leaves."""
    job = replace(job, objective=exact)
    state = states.fresh(job)
    state.network.double()
    seen = batch(at, job, hw=job.plan.first_hw)
    truth = seen.truth.double() if seen.truth.is_floating_point() else seen.truth
    seen = replace(seen, x=seen.x.double(), truth=truth)
    value = step.accumulated(state.network, seen, job, at, Clock())
    value = step._summed(state.network, value, job)
    kept = {k: v for k, v in state.network.state_dict().items() if "running" in k or "tracked" in k}
    return {
        "images": len(seen),
        "loss": value,
        "gradients": {n: p.grad for n, p in state.network.named_parameters()},
        "kept": kept,
    }


def jobs():
    """Names and jobs whose third steps are compared."""
    return {
        "plain": job_of(**SETTINGS),
        "mixup": job_of(**SETTINGS, mixup=0.4, seed=3),
        "cutmix": job_of(**SETTINGS, cutmix=1.0, seed=4),
        "planes": job_of(**SETTINGS, channels_last=False),
        "parts": job_of(**{**SETTINGS, "batch_size": 7}, accumulate=2, repeats=2, cutmix=1.0),
        **{name: network_job(name) for name in NETWORKS},
    }


def network_job(name):
    """A network of the zoo on larger noise, with all that it has: gates, joins, maps for a head."""
    spec = resolve(name, classes=3, resolution=32, width=0.25)
    heads = tuple((n, replace(h, dropout=0.3)) for n, h in spec.heads)
    network = build(replace(spec, heads=heads), seed=1, drop_path=0.3)
    job = job_of(**SETTINGS, seed=5)
    pixels = job.train.pixels.repeat(2, axis=1).repeat(2, axis=2)
    return replace(job, network=network, train=replace(job.train, pixels=pixels))


def case_gradients(ranks, _folder):
    return {name: gradients(replace(job, ranks=ranks)) for name, job in jobs().items()}


def case_run(ranks, folder):
    """A whole run, each process with a folder of its own."""
    events = list(fit(replace(job_of(**RUN), ranks=ranks), folder / f"run{ranks.rank}"))
    end = events[-1]
    return {
        "losses": losses(events),
        "confusion": end.metrics.confusion,
        "logits": end.logits,
        "weights": dict(end.network.state_dict()),
        "synced": any(isinstance(m, SyncNorm) for m in end.network.modules()),
    }


def case_resumed(ranks, folder):
    """The second half of a run whose checkpoint lies in the folder of the first process alone."""
    place = folder if ranks.first else folder / "elsewhere"
    return losses(fit(replace(job_of(**RUN), ranks=ranks), place, resume=True))


def case_bad(ranks, folder):
    """A loss that is not finite in one process; the words of each."""

    def broken(network, batch):
        return exact(network, batch) * (float("nan") if ranks.rank == 1 else 1.0)

    job = replace(job_of(**RUN), ranks=ranks, objective=broken)
    try:
        list(fit(job, folder / "bad"))
    except PocketvisionError as e:
        return str(e)


def case_other(ranks, folder):
    """Data that differ from process to process; the words of each."""
    job = replace(job_of(**RUN, seed=ranks.rank), ranks=ranks)
    try:
        next(iter(fit(job, folder / "other")))
    except PocketvisionError as e:
        return str(e)


def case_exchange(ranks, _folder):
    """Every exchange once."""
    values = [torch.full((2, 3), ranks.rank + 1.0), torch.tensor(ranks.rank + 1)]
    ranks.sum_(values)
    own = torch.full((2,), float(ranks.rank + 1))
    ranks.same_([own])
    rows = np.arange(14).reshape(7, 2)
    with ranks.living():
        ranks.meet("there")
    return {
        "sums": values,
        "each": ranks.each(torch.tensor([ranks.rank])).tolist(),
        "gathered": ranks.gathered(rows[ranks.part(7)], 7),
        "agreed": [ranks.agreed(ranks.rank == 1), ranks.agreed(False)],
        "told": ranks.told(lambda: b"word"),
        "said": ranks.said(lambda: {"a": [1, None]}),
        "same": own.tolist(),
    }


def case_rounds(ranks, _folder):
    """Work on 14 images in pieces of 3: two rounds of three processes, the last with one image."""
    features.PIECE = rounds.PIECE = 3
    looked = []

    def answer(rows):
        looked.extend(range(14)[rows])
        yield len(range(14)[rows])
        return np.arange(28.0).reshape(14, 2)[rows]

    run, done = rounds.in_rounds(ranks, 14, answer), []
    while True:
        try:
            done.append(next(run))
        except StopIteration as end:
            return {"answers": end.value, "done": done, "looked": looked}


def main(folder, *cases):
    torch.set_num_threads(1)
    with entered(os.environ, "20s") as ranks:
        found = {name: globals()[f"case_{name}"](ranks, Path(folder)) for name in cases}
        torch.save(found, Path(folder) / f"{ranks.rank}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
