"""A run goes on to the bit, may become longer, and says what is no longer as it was."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketvision.data.cache import Cache
from pocketvision.data.dataset import Sample
from pocketvision.data.read import read
from pocketvision.errors import Interrupted, LabelError, PocketvisionError, UsageError
from pocketvision.labels import Labels
from pocketvision.model import build
from pocketvision.train import checkpoint, record, resume
from pocketvision.train.config import TrainConfig, digest
from pocketvision.train.events import EpochDone, Finished, Note, Planned, Saved, StepDone
from pocketvision.train.job import Images
from pocketvision.train.loop import fit
from pocketvision.train.losses_csv import LossesCsv
from pocketvision.train.run import train_run
from pocketvision.zoo.lookup import resolve
from tests.data.made import folder as photos
from tests.train.tiny import CONTRACT, dataset_of, job_of, losses, small_spec

FLAT = {"schedule": "constant", "warmup_epochs": 1.0}


def read_losses(folder):
    """(step, epoch, loss, lr) of every line."""
    head, *lines = (folder / "losses.csv").read_text().splitlines()
    assert head == "step,epoch,loss,lr"
    cells = [line.split(",") for line in lines]
    return [(int(s), int(e), float(loss), float(lr)) for s, e, loss, lr in cells]


def stopped(job, folder, steps, **kwargs):
    """A run that is told to stop after so many steps more."""
    seen = []

    def drive():
        for event in fit(job, folder, should_stop=lambda: len(seen) >= steps, **kwargs):
            seen.extend(losses([event]))

    with pytest.raises(Interrupted):
        drive()


def killed(job, folder, steps, **kwargs):
    """A run of which nothing more is written after so many steps, as after kill -9."""
    seen, events = [], fit(job, folder, **kwargs)
    for event in events:
        seen += losses([event])
        if len(seen) >= steps:
            events.close()


def same_values(a, b):
    """Two networks hold the same numbers."""
    one, other = a.state_dict(), b.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


# -------------------------------------------------------------------------------------- checkpoints


def test_every_epoch_ends_with_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "SHARE", 1e9)
    events = list(fit(job_of(epochs=4), tmp_path))
    assert [e.step for e in events if isinstance(e, Saved)] == [6, 12, 18, 24, 24]
    names = [p.name for p in checkpoint.found(tmp_path / "checkpoint")]
    assert names == ["step-00000018", "step-00000024"]


def test_short_epochs_share_one(tmp_path, monkeypatch):
    book = record.Record(tmp_path, None, None)
    now = [100.0]
    monkeypatch.setattr(record, "perf_counter", lambda: now[0])
    book.saved_at, book.took_s = 90.0, 0.1
    assert book.is_due(minutes=5, epoch_over=True)  # 0.1 s of 10 s
    assert not book.is_due(minutes=5, epoch_over=False)
    book.took_s = 0.5
    assert not book.is_due(minutes=5, epoch_over=True)  # 0.5 s of 10 s is over 2%
    now[0] = 390.0
    assert book.is_due(minutes=5, epoch_over=False)


def test_a_state_after_a_jump_of_the_loss_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "SHARE", 1e9)

    job, calls = job_of(epochs=8), []

    def wild(network, batch):
        calls.append(1)
        return job.objective(network, batch) * (1e3 if len(calls) > 12 else 1)

    with pytest.raises(PocketvisionError, match=r"the loss exploded .* at step 20"):
        list(fit(replace(job, objective=wild), tmp_path))
    assert checkpoint.newest(tmp_path / "checkpoint").facts["step"] == 12


def test_a_disk_that_fills_up_keeps_the_last_good_checkpoint(tmp_path):
    """On a real one of a megabyte, where such can be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        job, folder = job_of(checkpoint_minutes=0), place / "run"
        whole = losses(fit(job, tmp_path / "whole"))
        with pytest.raises(PocketvisionError) as caught:
            fill_at(9, fit(job, folder), place / "filler")
        words = str(caught.value)
        assert "\n" not in words
        assert "the disk is full; free some space, then repeat" in words
        kept = folder / "checkpoint" / "step-00000009"
        assert words.endswith(
            f"the last good state is {kept}, from which --resume {folder} goes on"
        )
        (place / "filler").unlink()
        rest = list(fit(job, folder, resume=True))
        assert losses(rest) == whole[9:]
        assert [row[2] for row in read_losses(folder)] == whole
        assert not list(place.rglob(".tmp-*"))
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fill_at(step, events, path):
    """Take every byte that is left once the checkpoint of that step is there."""
    for event in events:
        if not (isinstance(event, Saved) and event.step == step):
            continue
        with path.open("wb", buffering=0) as f, suppress(OSError):
            while True:
                f.write(b"x" * 4096)


@pytest.mark.parametrize("file", ["results.csv", "losses.csv", "trace.json"])
def test_other_files_that_cannot_be_written_name_the_last_good_state(tmp_path, file):
    job = job_of(checkpoint_minutes=0)
    killed(job, tmp_path, 3)
    (tmp_path / file).unlink(missing_ok=True)
    (tmp_path / file).mkdir()
    with pytest.raises(PocketvisionError, match=rf"cannot write .*{file}.*the last good state is"):
        list(fit(job, tmp_path, resume=True))


def test_a_checkpoint_never_takes_the_place_of_another(tmp_path):
    tensors = {"a": torch.zeros(2)}
    for _ in range(3):
        checkpoint.save(tmp_path, tensors, {"step": 4})
    checkpoint.save(tmp_path, tensors, {"step": 4})
    names = [p.name for p in checkpoint.found(tmp_path)]
    assert names == ["step-00000004-0002", "step-00000004-0003"]
    checkpoint.save(tmp_path, tensors, {"step": 5})
    assert [p.name for p in checkpoint.found(tmp_path)] == ["step-00000004-0003", "step-00000005"]


def test_later_ones_that_were_passed_over_go(tmp_path):
    for step in (4, 9):
        checkpoint.save(tmp_path, {"a": torch.zeros(2)}, {"step": step})
    (tmp_path / "step-00000009" / "state.json").write_text("{")
    (tmp_path / ".tmp-step-00000009-ab").mkdir()
    checkpoint.save(tmp_path, {"a": torch.zeros(2)}, {"step": 6})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000004", "step-00000006"]


@pytest.mark.skipif(sys.platform != "linux", reason="names of open files are Linux's")
def test_data_are_on_the_disk_before_their_name_is(tmp_path, monkeypatch):
    """The order of what the system is asked for: files, their folder, the name, its folder."""
    asked, real_sync, real_rename = [], os.fsync, Path.rename

    def sync(number):
        asked.append(Path(f"/proc/self/fd/{number}").readlink().name.split("-")[0])
        real_sync(number)

    def rename(self, target):
        asked.append("renamed")
        return real_rename(self, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "rename", rename)
    checkpoint.save(tmp_path / "checkpoint", {"a": torch.zeros(2)}, {"step": 4})
    assert sorted(asked[:2]) == ["state.json", "state.safetensors"]
    assert asked[2:] == [".tmp", "renamed", "checkpoint"]


# --------------------------------------------------------------------------------------- losses.csv


def test_losses_are_written_to_the_bit(tmp_path):
    events = list(fit(job_of(), tmp_path))
    told = [e for e in events if isinstance(e, StepDone)]
    assert read_losses(tmp_path) == [(e.step, e.epoch, e.loss, e.lr) for e in told]
    assert [e.epoch for e in told] == [1 + k // 6 for k in range(24)]


@pytest.mark.parametrize("kills", [(2,), (7,), (3, 5, 11), (23,)])
def test_a_killed_run_has_every_step_once(tmp_path, kills):
    job = job_of(checkpoint_minutes=0)
    list(fit(job, tmp_path / "whole"))
    for k, steps in enumerate(kills):
        killed(job, tmp_path / "cut", steps, resume=k > 0)
        with (tmp_path / "cut" / "losses.csv").open("a") as f:
            f.write("99,9,0.12")  # torn
    list(fit(job, tmp_path / "cut", resume=True))
    a, b = ((tmp_path / name / "losses.csv").read_bytes() for name in ("whole", "cut"))
    assert a == b


def test_a_file_that_does_not_reach_the_checkpoint_begins_anew(tmp_path):
    job = job_of()
    stopped(job, tmp_path, 5)
    path = tmp_path / "losses.csv"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:4]))
    notes = [e.text for e in fit(job, tmp_path, resume=True) if isinstance(e, Note)]
    assert notes == ["losses.csv begins at step 6, what came before is lost"]
    assert [row[0] for row in read_losses(tmp_path)] == list(range(6, 25))


@pytest.mark.parametrize("text", ["", "x", "step,epoch,loss,lr\n1,1,nan,0.1\n2,1,0.5\n", "\0\n"])
def test_rubbish_in_the_file_is_not_trusted(tmp_path, text):
    (tmp_path / "losses.csv").write_text(text)
    book = LossesCsv(tmp_path, step=2)
    assert book.begins == 2
    book.add(3, 1, 1 / 3, 0.1)
    book.put()
    assert (
        tmp_path / "losses.csv"
    ).read_text() == "step,epoch,loss,lr\n3,1,0.3333333333333333,0.1\n"


def test_the_watch_over_the_loss_goes_on_too(tmp_path):
    job = job_of()
    stopped(job, tmp_path, 15)
    assert LossesCsv(tmp_path, step=15).last(4) == [row[2] for row in read_losses(tmp_path)[11:15]]


# -------------------------------------------------------------------------------------- longer runs


@pytest.mark.parametrize("schedule", ["constant", "exponential"])
@pytest.mark.parametrize("stop", [None, 9])
def test_a_longer_run_is_the_one_it_would_have_been(tmp_path, schedule, stop):
    settings = {**FLAT, "schedule": schedule, "eval_every": 1}
    short, long = (job_of(epochs=epochs, **settings) for epochs in (4, 6))
    whole = list(fit(long, tmp_path / "whole"))
    if stop is None:
        list(fit(short, tmp_path / "grown"))
    else:
        stopped(short, tmp_path / "grown", stop)
    rest = list(fit(long, tmp_path / "grown", resume=True))
    assert "4 epochs become 6: to the bit the run that it would have been" in rest[0].text
    a, b = ((tmp_path / name / "losses.csv").read_bytes() for name in ("whole", "grown"))
    assert a == b
    assert same_values(whole[-1].network, rest[-1].network)  # the average
    assert whole[-1].identity.hashes == rest[-1].identity.hashes
    rows = [e.row for e in whole if isinstance(e, EpochDone)]
    facts = checkpoint.newest(tmp_path / "grown" / "checkpoint").facts
    keys = ("epoch", "step", "lr", "train_loss", "val_loss", "val_accuracy")
    assert [[r[k] for k in keys] for r in facts["rows"]] == [
        [getattr(r, k) for k in keys] for r in rows
    ]


def test_a_longer_cosine_is_another_run_and_says_so(tmp_path):
    short, long = job_of(epochs=4), job_of(epochs=6)
    whole = list(fit(long, tmp_path / "whole"))
    first = losses(fit(short, tmp_path / "grown"))
    rest = list(fit(long, tmp_path / "grown", resume=True))
    assert rest[0].text == (
        "4 epochs become 6, from step 24 on by the longer plan: not the run that it would have "
        "been from the start, whose learning rate differs from step 1 on"
    )
    assert read_losses(tmp_path / "grown")[:24] == [
        (k + 1, 1 + k // 6, loss, read_losses(tmp_path / "grown")[k][3])
        for k, loss in enumerate(first)
    ]
    # It goes on by the longer plan: the rates of its last steps are the whole run's.
    rates = [[row[3] for row in read_losses(tmp_path / n)[24:]] for n in ("whole", "grown")]
    assert rates[0] == rates[1]
    assert whole[-1].identity.hashes["trace"] != rest[-1].identity.hashes["trace"]
    assert [row["step"] for row in rest[-1].identity.changes] == [24]


def test_what_parts_a_longer_run_from_one_planned_so(tmp_path):
    def parting(old, new, step=24):
        return resume.parting(job_of(**old).plan, job_of(**new), step)

    flat = {**FLAT, "ema": 0.9}
    assert parting({"epochs": 4, **flat}, {"epochs": 9, **flat}) is None
    growing = {**flat, "train_scale": 1.0, "start_scale": 0.25}
    assert parting({"epochs": 4, **growing}, {"epochs": 9, **growing}) is None  # 16 px cannot grow
    cosine = {"warmup_epochs": 0.5, "ema": 0.0}
    assert parting({"epochs": 4, **cosine}, {"epochs": 9, **cosine}, 3) is None  # still rising
    # Half a cosine begins at 1: the rates part at the second step after the warm-up.
    assert parting({"epochs": 4, **cosine}, {"epochs": 9, **cosine}) == ("learning rate", 5)


def test_stages_that_come_in_know_the_length_of_a_run():
    old, new = (job_of(epochs=epochs, freeze="gradual", **FLAT) for epochs in (4, 9))
    network = build(resolve("mobilenet_v3_small", resolution=32, classes=3))
    assert len(network.stages) == 5
    # The first of 5 more comes at step 12 / 5 = 2.4 of the first half of 24, at 5.4 of that of 54.
    what = "share of the network that trains"
    assert resume.parting(old.plan, replace(new, network=network), 24) == (what, 4)


def test_growing_images_know_the_length_of_a_run(tmp_path):
    old, new = (replace(job_of(epochs=epochs, **FLAT).plan, first_hw=(16, 16), last_hw=(64, 64))
                for epochs in (4, 9))  # fmt: skip
    # 48 pixels over two thirds of 24 steps: the first 16 are rounded up to at step 16 / 6 = 2.67.
    assert resume.parting(old, replace(job_of(**FLAT), plan=new), 24) == ("image size", 4)


def test_an_epoch_that_the_end_had_cut_is_made_whole(tmp_path):
    settings = {**FLAT, "epochs": None, "eval_every": 1}
    whole = list(fit(job_of(steps=18, **settings), tmp_path / "whole"))
    cut = list(fit(job_of(steps=14, **settings), tmp_path / "grown"))
    assert [e.row.step for e in cut if isinstance(e, EpochDone)] == [6, 12, 14]
    rest = list(fit(job_of(steps=18, **settings), tmp_path / "grown", resume=True))
    last = [e.row for e in (*whole[-3:], *rest[-3:]) if isinstance(e, EpochDone)]
    assert [row.step for row in last] == [18, 18]
    assert last[0].train_loss == last[1].train_loss
    lines = (tmp_path / "grown" / "results.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in lines[1:]] == [["1", "6"], ["2", "12"], ["3", "18"]]


def test_a_shorter_plan_is_refused(tmp_path):
    stopped(job_of(epochs=4), tmp_path, 3)
    with pytest.raises(UsageError, match=r"the plan changed: steps was 24, is 12"):
        list(fit(job_of(epochs=2), tmp_path, resume=True))


def test_an_older_checkpoint_holds_a_hash_of_its_plan(tmp_path):
    job = job_of()
    stopped(job, tmp_path, 3)
    facts = checkpoint.newest(tmp_path / "checkpoint").path / "state.json"
    row = json.loads(facts.read_text())
    row["trace"]["plan"] = digest(job.plan.to_dict())
    for name in ("torch", "processor"):
        del row["trace"][name]
    del row["changes"]
    facts.write_text(json.dumps(row))
    assert len(losses(fit(job, tmp_path, resume=True))) == 21


# ---------------------------------------------------------------------------------- allowed changes


def test_changes_that_are_allowed_are_said_and_written_down(tmp_path):
    stopped(job_of(), tmp_path, 7)
    other = job_of(lr=0.01)
    with pytest.raises(UsageError, match=r"--lr was 0\.02, is 0\.01\. .*--allow-changes"):
        list(fit(other, tmp_path, resume=True))
    events = list(fit(other, tmp_path, resume=True, allow_changes=True))
    assert events[0] == Note(text="changed, and going on: --lr was 0.02, is 0.01")
    assert events[1] == Planned(plan=other.plan, step=7)
    words = "--lr was 0.02, is 0.01"
    row = {"step": 7, "name": "--lr", "words": words, "exact": False, "longer": False}
    assert [dict(c) for c in events[-1].identity.changes] == [row]
    assert json.loads((tmp_path / "trace.json").read_text())["changes"] == [row]
    # From then on it is the run's own setting, and the change stays in its record.
    again = list(fit(other, tmp_path, resume=True))
    assert [dict(c) for c in again[-1].identity.changes] == [row]
    never = list(fit(other, tmp_path / "never"))
    assert again[-1].identity.hashes["trace"] != never[-1].identity.hashes["trace"]
    assert losses(events)[0] != losses(never)[7]


def test_changed_data_and_names_go_on_when_asked(tmp_path):
    job = job_of()
    stopped(job, tmp_path, 7)
    more = Images(pixels=np.repeat(job.train.pixels, 2, 0), truth=np.repeat(job.train.truth, 2))
    other = replace(job, train=more, labels=Labels(names=("low", "middle", "top")))
    events = list(fit(other, tmp_path, resume=True, allow_changes=True))
    words = [e.text for e in events if isinstance(e, Note)]
    assert words == [
        "changed, and going on: classes differ (gone: high; new: top)",
        "changed, and going on: the training images changed",
    ]
    assert isinstance(events[-1], Finished)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"optimizer": "sgd"}),
        ({"optimizer": "sgd"}, {}),
        ({"optimizer": "sgd", "momentum": 0.0}, {"optimizer": "sgd", "momentum": 0.9}),
        ({"optimizer": "rmsprop", "momentum": 0.0}, {"optimizer": "rmsprop"}),
        ({"ema": 0.0}, {"ema": 0.9}),
        ({"ema": 0.9}, {"ema": 0.0}),
        ({}, {"batch_size": 16}),
        ({}, {"seed": 3, "drop_path": 0.0}),
        ({"patience": 1}, {}),
    ],
)
def test_any_setting_may_change_when_asked(tmp_path, before, after):
    stopped(job_of(**before), tmp_path, 7)
    end = list(fit(job_of(**after), tmp_path, resume=True, allow_changes=True))[-1]
    assert isinstance(end, Finished)
    assert end.identity.changes


CONFIG = TrainConfig(epochs=2, batch_size=8, lr=0.02, threads=1, workers=1)


def test_another_number_of_classes_never_goes_on(tmp_path):
    stop = iter([False] * 80 + [True] * 1000)
    with pytest.raises(Interrupted, match="everything is saved"):
        train_run(dataset_of(), small_spec(), replace(CONFIG, epochs=9), CONTRACT, tmp_path / "run",
                  should_stop=lambda: next(stop))  # fmt: skip
    more = replace(dataset_of(), classes=("low", "middle", "high", "top"))
    with pytest.raises(LabelError, match=r"3 outputs, but stripes has 4 classes; a run keeps its"):
        train_run(more, small_spec(), CONFIG, CONTRACT, tmp_path / "run", resume=True,
                  allow_changes=True)  # fmt: skip


def test_a_call_that_is_refused_changes_nothing(tmp_path):
    seen = []
    folder = tmp_path / "run"
    with pytest.raises(Interrupted):
        train_run(dataset_of(), small_spec(), CONFIG, CONTRACT, folder, on_event=seen.append,
                  should_stop=lambda: len(losses(seen)) >= 4)  # fmt: skip
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(UsageError, match=r"--lr was 0\.02, is 0\.5"):
        train_run(dataset_of(), small_spec(), replace(CONFIG, lr=0.5), CONTRACT, folder,
                  resume=True)  # fmt: skip
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


# --------------------------------------------------------------------------------------- two hashes


def test_the_two_hashes_stand_wherever_a_run_is_described(tmp_path):
    result = train_run(dataset_of(), small_spec(), CONFIG, CONTRACT, tmp_path / "run")
    files = ("summary.json", "bundle/manifest.json", "trace.json")
    rows = [json.loads((result.folder / name).read_text()) for name in files]
    assert [row["hashes"] for row in rows] == [dict(result.hashes)] * 3
    assert [row["changes"] for row in rows] == [[]] * 3
    assert rows[2]["hashes"] == {
        "trace": digest(rows[2]["trace"]), "context": digest(rows[2]["context"])
    }  # fmt: skip
    assert {"--lr", "--threads", "plan", "torch", "processor", "training images"} <= set(
        rows[2]["trace"]
    )
    assert {"--workers", "python", "packages", "cpu"} <= set(rows[2]["context"])
    assert not set(rows[2]["trace"]) & set(rows[2]["context"])


def test_the_context_changes_one_hash_and_the_trace_the_other(tmp_path):
    def hashes(name, **settings):
        return list(fit(job_of(epochs=1, **settings), tmp_path / name))[-1].identity.hashes

    a, b, c = hashes("a"), hashes("b", workers=3), hashes("c", seed=1)
    assert (a["trace"] == b["trace"], a["context"] == b["context"]) == (True, False)
    assert (a["trace"] == c["trace"], a["context"] == c["context"]) == (False, True)


# ----------------------------------------------------------------------------------- the same twice


def test_any_number_of_workers_and_a_cache_change_nothing(tmp_path):
    """Files on disk, read by one thread or three, with and without a cache, twice with it."""
    root = photos(tmp_path / "data", {"a": 9, "b": 11})
    cache = Cache(folder=tmp_path / "cache")
    spec = small_spec(classes=2)
    kept = []
    for k, (workers, place) in enumerate([(1, None), (3, None), (1, cache), (3, cache)]):
        config = replace(CONFIG, workers=workers, augment="photo")
        result = train_run(read(str(root)), spec, config, CONTRACT, tmp_path / f"run{k}",
                           cache=place)  # fmt: skip
        weights = (result.bundle / "weights.safetensors").read_bytes()
        kept.append((weights, (result.folder / "losses.csv").read_bytes(), result.hashes["trace"]))
    assert all(row == kept[0] for row in kept[1:])


# ---------------------------------------------------------------------------------------- bad input


def remarks_of(dataset, tmp_path, **settings):
    seen = []
    config = replace(CONFIG, **{"epochs": 1, **settings})
    spec = small_spec(classes=len(dataset.classes))
    train_run(dataset, spec, config, CONTRACT, tmp_path / "run", on_event=seen.append)
    return [e.text for e in seen if isinstance(e, Note)]


def test_a_class_with_one_image_is_named(tmp_path):
    dataset = dataset_of()
    extra = Sample(None, 3, "train/rare", dataset.splits["train"][0].pixels)
    splits = {**dataset.splits, "train": (*dataset.splits["train"], extra)}
    rare = replace(dataset, classes=(*dataset.classes, "rare"), splits=splits)
    assert remarks_of(rare, tmp_path, balance="none") == [
        "classes with no validation image, so nothing measures them: 'rare'",
        "classes with a single training image: 'rare'",
    ]


def test_a_class_that_is_only_measured_is_named(tmp_path):
    dataset = dataset_of()
    extra = Sample(None, 3, "val/rare", dataset.splits["val"][0].pixels)
    splits = {**dataset.splits, "val": (*dataset.splits["val"], extra)}
    rare = replace(dataset, classes=(*dataset.classes, "rare"), splits=splits)
    assert remarks_of(rare, tmp_path) == [
        "classes with no training image, so they are not learned: 'rare'"
    ]


def test_a_batch_larger_than_the_data_is_said(tmp_path):
    assert remarks_of(dataset_of(), tmp_path, batch_size=64) == [
        "--batch-size 64 is more than the 43 training images: a step sees all of them"
    ]
    assert len(read_losses(tmp_path / "run")) == 1


def test_lists_of_classes_are_cut(tmp_path):
    dataset = dataset_of()
    names = tuple(f"c{i}" for i in range(9))
    pixels = dataset.splits["train"][0].pixels
    rows = tuple(Sample(None, i, f"{i}-{k}", pixels) for i in range(9) for k in range(2))
    splits = {"train": rows, "val": (Sample(None, 0, "v", pixels),)}
    (line,) = remarks_of(replace(dataset, classes=names, splits=splits), tmp_path)
    assert line.endswith("nothing measures them: 'c1', 'c2', 'c3', 'c4', 'c5' and 3 more")
