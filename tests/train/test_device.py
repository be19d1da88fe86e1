"""Where steps are taken. A GPU's part is played by torch's device without values, which refuses
operations whose tensors are on two devices as a GPU does; one test is for machines that have one.
"""

import contextlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from pocketvision.errors import UsageError
from pocketvision.train import optim, step
from pocketvision.train import state as states
from pocketvision.train.ahead import Ahead
from pocketvision.train.batches import batch
from pocketvision.train.device import CPU, device_of
from pocketvision.train.loop import fit
from pocketvision.train.losses import plain
from pocketvision.train.ranks import Ranks
from tests.train.tiny import job_of, losses

GPU, ELSEWHERE = torch.device("cuda", 0), torch.device("meta")
SETTINGS = [
    {"mixup": 0.2, "balance": "logit-adjust"},
    {"optimizer": "sgd", "cutmix": 1.0, "accumulate": 2, "balance": "loss"},
    {"optimizer": "rmsprop", "grad_clip": 1.0, "dropout": 0.2, "drop_path": 0.2},
]


@pytest.fixture
def gpus(monkeypatch):
    """Two GPUs, as far as counting goes."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def test_a_processor_is_taken_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of("auto") == device_of("cpu") == CPU


def test_a_gpu_is_taken_where_there_is_one(gpus):
    assert device_of("auto") == device_of("cuda") == device_of("cuda:0") == GPU
    assert device_of("cuda:1") == torch.device("cuda", 1)
    assert device_of("cpu") == CPU


def test_processes_side_by_side_take_one_each(gpus):
    both = [device_of("auto", Ranks(rank=r + 2, count=4, local=r, beside=2)) for r in range(2)]
    assert both == [torch.device("cuda", 0), torch.device("cuda", 1)]
    with pytest.raises(UsageError, match=r"asks for GPU 2, this machine has 2.*torchrun"):
        device_of("auto", Ranks(rank=2, count=3, local=2, beside=3))


@pytest.mark.parametrize(
    "name", ["gpu", "cuda:", "cuda:x", "cuda:-1", "mps", "auto:1", "", "cpu:0"]
)
def test_other_names_are_refused(name, gpus):
    with pytest.raises(UsageError, match="--device must be auto, cpu, cuda or cuda:N"):
        device_of(name)


def test_a_gpu_that_is_not_there_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="--device cuda needs a GPU, and this PyTorch"):
        device_of("cuda")


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: next(iter(s)))
def test_all_of_a_step_is_on_its_device(settings, monkeypatch):
    balance = {"balance": settings.get("balance")}
    job = replace(job_of(epochs=2, **{**settings, "balance": None}), device=ELSEWHERE)
    job = replace(job, objective=plain(replace(job.config, **balance), np.array([9, 6, 3])))
    monkeypatch.setattr(torch.Tensor, "item", lambda t: 1.0)  # there are no values to read
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: contextlib.nullcontext())
    monkeypatch.setattr(optim, "AdamW", lambda rows, lr, fused: torch.optim.AdamW(rows, lr=lr))
    monkeypatch.setattr(optim, "SGD", lambda rows, fused, **more: torch.optim.SGD(rows, **more))
    state = states.fresh(job)
    for _ in range(2):
        step.taken(state, job)
    for network in (state.network, state.average.network):
        assert {t.device for t in network.state_dict().values()} == {ELSEWHERE}
    held = [t for row in state.optimizer.state.values() for k, t in row.items() if k != "step"]
    assert {t.device for t in held if torch.is_tensor(t)} == {ELSEWHERE}
    assert all(p.device == CPU for p in job.network.parameters())


def test_a_tensor_left_behind_would_be_noticed():
    job = job_of(epochs=2)
    state = states.fresh(replace(job, device=ELSEWHERE))
    state.ahead = None
    with pytest.raises(RuntimeError, match="device"):
        step.taken(state, job)


def test_batches_prepared_ahead_are_those_of_their_steps():
    job = job_of(epochs=2, mixup=0.2, start_scale=0.5)
    ahead, hw = Ahead(job), job.plan.first_hw
    for at in (0, 1, 2, 1, 4, 5):  # goes on, back, and leaves some out
        ours, expected = ahead.batch(at, hw), batch(at, job, hw=hw)
        assert torch.equal(ours.x, expected.x)
        assert torch.equal(ours.truth, expected.truth)
        np.testing.assert_array_equal(ours.indices, expected.indices)


def test_a_batch_that_cannot_be_made_ahead_is_said_at_its_own_step():
    def broken(x, numbers, epoch, hw):
        raise OSError("a shard is gone")

    ahead = Ahead(replace(job_of(epochs=1), augment=broken))
    with pytest.raises(OSError, match="a shard is gone"):
        ahead.batch(0, (16, 16))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that PyTorch sees")
def test_a_gpu_learns_what_the_processor_learns(tmp_path):
    job = job_of(epochs=2)
    ours = losses(fit(replace(job, device=GPU), tmp_path / "gpu"))
    np.testing.assert_allclose(ours, losses(fit(job, tmp_path / "cpu")), rtol=2e-2)
