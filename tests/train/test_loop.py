import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pocketvision.errors import DataError, Interrupted, PocketvisionError, UsageError
from pocketvision.labels import Labels
from pocketvision.preprocess import prepare
from pocketvision.train import checkpoint
from pocketvision.train import state as states
from pocketvision.train.batches import augmented, indices_of, normalised
from pocketvision.train.events import EpochDone, Finished, Note, Planned, Saved, StepDone
from pocketvision.train.job import Images
from pocketvision.train.loop import fit
from pocketvision.train.pace import timed
from tests.train.tiny import CONTRACT, SIZE, job_of, losses


def results_of(folder):
    return list(csv.DictReader((folder / "results.csv").read_text().splitlines()))


def interrupted_after(job, folder, steps, **kwargs):
    """The losses of a run that is told to stop after so many steps."""
    seen = []

    def drive():
        for event in fit(job, folder, should_stop=lambda: len(seen) >= steps, **kwargs):
            seen.extend(losses([event]))

    with pytest.raises(Interrupted, match="everything is saved in"):
        drive()
    return seen


def test_a_run_learns_and_says_how_it_went(tmp_path):
    job = job_of(epochs=30)
    start = {k: v.clone() for k, v in job.network.state_dict().items()}
    events = list(fit(job, tmp_path))
    assert isinstance(events[0], Planned)
    end = events[-1]
    assert isinstance(end, Finished)
    assert end.metrics.accuracy >= 0.9
    assert not end.network.training
    assert len(losses(events)) == job.plan.steps == 30 * 6
    rows = results_of(tmp_path)
    assert [int(r["epoch"]) for r in rows] == list(range(1, 31))
    assert [r["val_loss"] == "" for r in rows] == [True, False] * 15
    assert float(rows[-1]["val_accuracy"]) == pytest.approx(end.metrics.accuracy, abs=1e-6)
    assert float(rows[0]["train_loss"]) > float(rows[-1]["train_loss"])
    # The epoch's loss is the mean over its images, not over its batches.
    first = [e.loss for e in events if isinstance(e, StepDone) and e.epoch == 1]
    sizes = [len(indices_of(s, job)) for s in range(6)]
    assert float(rows[0]["train_loss"]) == pytest.approx(np.average(first, weights=sizes), rel=1e-5)
    for name, value in job.network.state_dict().items():
        assert torch.equal(value, start[name])  # the job is never changed


def test_two_runs_with_one_seed_are_equal_and_another_seed_is_not(tmp_path):
    a = losses(fit(job_of(epochs=2), tmp_path / "a"))
    torch.rand(7)  # the state of the global generator plays no part
    b = losses(fit(job_of(epochs=2), tmp_path / "b"))
    c = losses(fit(job_of(epochs=2, seed=1), tmp_path / "c"))
    assert a == b
    assert a != c


def test_the_callers_random_state_is_left_alone(tmp_path):
    job = job_of(epochs=1)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    list(fit(job, tmp_path))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": "sgd", "ema": 0.0, "patience": 2},
        {"optimizer": "rmsprop", "schedule": "exponential", "decay_biases": True},
    ],
)
@pytest.mark.parametrize("stops", [(1,), (6,), (7, 13), (2, 3, 11, 20)])
def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path, stops, settings):
    job = job_of(**settings)
    whole = list(fit(job, tmp_path / "whole"))
    trace, done = [], 0
    for k, stop in enumerate(stops):
        trace += interrupted_after(job, tmp_path / "cut", stop - done, resume=k > 0)
        done = stop
    rest = list(fit(job, tmp_path / "cut", resume=True))
    assert rest[0].step == done
    assert trace + losses(rest) == losses(whole)
    for name, value in whole[-1].network.state_dict().items():
        assert torch.equal(value, rest[-1].network.state_dict()[name])
    a, b = (
        [
            {k: v for k, v in row.items() if k not in ("seconds", "images_per_s")}
            for row in results_of(tmp_path / name)
        ]
        for name in ("whole", "cut")
    )
    assert a == b


def test_a_run_without_warning_goes_on_from_its_last_checkpoint(tmp_path):
    job = job_of(checkpoint_minutes=0)  # after every step
    whole = losses(fit(job, tmp_path / "whole"))
    events = fit(job, tmp_path / "killed")
    seen = 0
    for event in events:
        seen += isinstance(event, Saved)
        if seen == 9:
            events.close()  # as good as kill -9: nothing more is written
    newest = checkpoint.found(tmp_path / "killed" / "checkpoint")[-1]
    (newest / "state.safetensors").write_bytes(b"torn")
    rest = list(fit(job, tmp_path / "killed", resume=True))
    assert isinstance(rest[0], Note)
    assert "step-00000009 is damaged" in rest[0].text
    assert rest[1].step == 8
    assert losses(rest) == whole[8:]


def test_a_finished_run_can_be_resumed_and_only_judged_again(tmp_path):
    job = job_of(epochs=2)
    first = list(fit(job, tmp_path))[-1]
    again = list(fit(job, tmp_path, resume=True))
    assert losses(again) == []
    assert np.array_equal(again[-1].logits, first.logits)


def test_what_changed_is_listed_and_refused(tmp_path):
    job = job_of()
    interrupted_after(job, tmp_path, 3)
    other = job_of(lr=0.5, epochs=9)
    with pytest.raises(
        UsageError,
        match=r"--lr was 0.02, is 0.5; the plan changed: steps was 24, is 54\. Repeat .*allow-ch",
    ):
        list(fit(other, tmp_path, resume=True))
    renamed = replace(job, labels=Labels(names=("low", "middle", "top")))
    with pytest.raises(UsageError, match=r"classes differ \(gone: high; new: top\)"):
        list(fit(renamed, tmp_path, resume=True))
    pixels = job.train.pixels.copy()
    pixels[3, 2, 1, 0] ^= 1
    touched = replace(job, train=Images(pixels=pixels, truth=job.train.truth))
    with pytest.raises(UsageError, match=r"the training images changed"):
        list(fit(touched, tmp_path, resume=True))
    context = replace(job, config=replace(job.config, workers=3, checkpoint_minutes=1))
    assert len(losses(fit(context, tmp_path, resume=True))) == job.plan.steps - 3


def test_a_run_of_before_a_setting_existed_was_at_its_default(tmp_path):
    job = job_of()
    interrupted_after(job, tmp_path, 3)
    (state,) = (p / "state.json" for p in checkpoint.found(tmp_path / "checkpoint"))
    facts = json.loads(state.read_text())
    for name in ("--accumulate", "--repeats", "--decay-biases", "--policy"):
        del facts["trace"][name]
    state.write_text(json.dumps(facts))
    with pytest.raises(UsageError, match=r"differ|--repeats was 1, is 2"):
        list(fit(replace(job, config=replace(job.config, repeats=2)), tmp_path, resume=True))
    assert len(losses(fit(job, tmp_path, resume=True))) == job.plan.steps - 3


def test_nothing_to_resume_is_said(tmp_path):
    with pytest.raises(DataError, match=r"nothing to resume in .*: it has no checkpoint"):
        list(fit(job_of(), tmp_path, resume=True))


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    def broken(x, indices, epoch, size):
        bad = x.float()
        return bad * float("nan") if epoch == 1 else bad

    job = replace(job_of(checkpoint_minutes=0), augment=broken)
    with pytest.raises(PocketvisionError) as caught:
        list(fit(job, tmp_path))
    words = str(caught.value)
    assert words.startswith("the loss became nan at step 7 (epoch 2, learning rate ")
    assert "try --lr 0.007, --grad-clip 1 or a longer --warmup-epochs" in words
    assert "with --allow-changes, in this one" in words
    kept = f"{tmp_path}/checkpoint/step-00000006"
    assert words.endswith(f"the last good state is {kept}, from which --resume {tmp_path} goes on")
    assert len((tmp_path / "losses.csv").read_text().splitlines()) == 1 + 6
    assert checkpoint.newest(tmp_path / "checkpoint").facts["step"] == 6


def test_a_loss_that_explodes_stops_the_run(tmp_path):
    job = job_of(lr=100.0, optimizer="sgd", warmup_epochs=0.0, epochs=20)
    with pytest.raises(PocketvisionError, match=r"the loss (exploded|became).*no checkpoint had"):
        list(fit(job, tmp_path))


def test_patience_keeps_the_best_weights(tmp_path):
    job = job_of(epochs=40, patience=2, eval_every=1, lr=0.05)
    events = list(fit(job, tmp_path))
    rows = [e.row for e in events if isinstance(e, EpochDone)]
    best = max(r.val_accuracy for r in rows)
    end = events[-1]
    assert end.metrics.accuracy == best
    assert end.epoch == next(r.epoch for r in rows if r.val_accuracy == best)
    assert len(rows) == min(end.epoch + 2, 40)


def test_inputs_equal_the_contracts(tmp_path):
    def plain(x, indices, epoch, size):
        assert size == (SIZE, SIZE)
        return x

    job = replace(job_of(), augment=plain)
    x = normalised(augmented(np.array([3, 1]), job, view=0, hw=(SIZE, SIZE)), job.preprocess)
    for row, index in zip(x, (3, 1), strict=True):
        np.testing.assert_allclose(row, prepare(job.train.pixels[index], CONTRACT), atol=1e-6)
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_batch_norm_remembers_as_many_images_whatever_the_batch():
    def momentum(**settings):
        network = states.fresh(job_of(**settings)).network
        return {m.momentum for m in network.modules() if isinstance(m, nn.BatchNorm2d)}

    assert momentum(batch_size=64) == {0.1}
    assert momentum(batch_size=8) == {0.025}
    assert momentum(batch_size=8, bn_momentum=0.3) == {0.3}


def test_time_fixes_the_steps_and_steps_win_over_time():
    from time import perf_counter

    job = job_of(time="20s", epochs=None)
    plan = timed(job, since=perf_counter()).plan
    assert plan.steps > job.plan.per_epoch
    assert plan.warmup == min(3 * plan.per_epoch, round(0.2 * plan.steps))
    replay = job_of(time="20s", steps=77, epochs=None)
    assert timed(replay, since=0.0).plan.steps == 77
    capped = job_of(time="20s", epochs=2)
    assert timed(capped, since=perf_counter()).plan.steps == 2 * job.plan.per_epoch
    with pytest.raises(UsageError, match="--time 20s leaves no time to train: reading the data"):
        timed(job, since=perf_counter() - 30)


def test_bfloat16_is_close_to_float32(tmp_path):
    a = losses(fit(job_of(epochs=1), tmp_path / "a"))
    b = losses(fit(job_of(epochs=1, precision="bfloat16"), tmp_path / "b"))
    assert a != b
    assert a == pytest.approx(b, abs=0.1)
