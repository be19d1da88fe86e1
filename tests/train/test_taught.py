"""A run with teachers: what is kept, what resumes, what it leaves behind."""

import json
from dataclasses import replace

import numpy as np
import pytest

from pocketvision import bundle as bundles
from pocketvision.bundle import bundle_of
from pocketvision.data.cache import Cache
from pocketvision.errors import Interrupted, UsageError
from pocketvision.labels import Labels
from pocketvision.model import build
from pocketvision.train import checkpoint, taught
from pocketvision.train.config import TrainConfig
from pocketvision.train.defaults import with_teachers
from pocketvision.train.events import Answered, Note
from pocketvision.train.judge import logits_of
from pocketvision.train.run import train_run
from pocketvision.train.source import Source
from tests.train.tiny import CONTRACT, NAMES, dataset_of, losses, small_spec


def source(seed=0, *, names=NAMES):
    """An untrained network as a teacher: what it says is as good as any for what is tested here."""
    net = build(small_spec(), seed=seed).eval()
    contract = replace(CONTRACT, mean=(0.5,) * 3, std=(0.25,) * 3)
    made = bundle_of(net, contract, {"label": Labels(names=names)}, manifest={})
    return Source(bundle=made, record={"name": f"t{seed}", "model": "small", "sha256": "0"})


def run(folder, *sources, **settings):
    """A run of 8 steps and its events."""
    stop, resume = settings.pop("stop", lambda events: False), settings.pop("resume", False)
    cache, data = settings.pop("cache", None), settings.pop("data", None)
    values = {"steps": 8, "batch_size": 8, "threads": 1, "workers": 1, "lr": 0.01}
    config = with_teachers(TrainConfig(**{**values, **settings}), len(sources))
    events = []
    result = train_run(
        data or dataset_of(),
        small_spec(),
        config,
        CONTRACT,
        folder,
        on_event=events.append,
        should_stop=lambda: stop(events),
        resume=resume,
        cache=cache,
        teachers=sources,
    )
    return result, events


KINDS = [
    {"distill": "kd"},
    {"distill": "kd", "augment": "none"},
    {"distill": "kd", "teacher_views": "1"},
    {"distill": "kd", "mixup": 0.5, "cutmix": 1.0},
    {"distill": "kd", "balance": "sampler", "augment": "none"},
    {"distill": "kd+at"},
    {"distill": "kd+hint", "grad_clip": 1.0},
    {"distill": "hint", "ema": 0.0, "patience": 50},
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: " ".join(map(str, k.values())))
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path, kind):
    whole, events = run(tmp_path / "whole", source(), **kind)
    cut = []
    for count in (3, 2):
        seen = []

        def stop(events, count=count, seen=seen):
            seen[:] = events
            return len(losses(events)) >= count

        with pytest.raises(Interrupted):
            run(tmp_path / "cut", source(), stop=stop, resume=bool(cut), **kind)
        cut += losses(seen)
    end, rest = run(tmp_path / "cut", source(), resume=True, **kind)
    assert cut + losses(rest) == losses(events)
    a, b = (r.bundle / "weights.safetensors" for r in (whole, end))
    assert a.read_bytes() == b.read_bytes()
    names = bundles.load(end.bundle).weights
    assert not any("beside" in name for name in names)


def test_regressors_are_in_the_checkpoint_and_move(tmp_path):
    run(tmp_path / "run", source(), distill="hint")
    saved = checkpoint.newest(tmp_path / "run" / "checkpoint").tensors
    beside = {name for name in saved if "beside" in name}
    assert "network:beside.0.weight" in beside
    assert "optimizer:beside.0.weight/exp_avg" in beside
    assert not any(name.startswith("average:beside") for name in saved)


def test_another_teacher_cannot_resume_a_run(tmp_path):
    stop = lambda events: len(losses(events)) >= 2  # noqa: E731
    with pytest.raises(Interrupted):
        run(tmp_path / "run", source(), stop=stop)
    with pytest.raises(UsageError, match=r"teachers differ \(gone: small .*new: small"):
        run(tmp_path / "run", source(1), resume=True)
    with pytest.raises(UsageError, match=r"--temperature was 4.0, is 2.0"):
        run(tmp_path / "run", source(), resume=True, temperature=2.0)


def test_kept_answers_change_no_bit(tmp_path, monkeypatch):
    """Without augmentation a teacher judges each image once: the same losses as in every step."""
    still = {"augment": "none", "distill": "kd"}
    _, kept = run(tmp_path / "kept", source(), source(1), **still)
    monkeypatch.setattr(taught, "known_views", lambda job, still: None)
    _, each = run(tmp_path / "each", source(), source(1), **still)
    assert [e.total for e in kept if isinstance(e, Answered) and e.split == "train"] == [43, 43]
    assert not [e for e in each if isinstance(e, Answered) and e.split == "train"]
    assert losses(kept) == losses(each)


def test_views_that_come_again_are_judged_once(tmp_path, monkeypatch):
    views = {"augment": "photo", "distill": "kd", "views": 2, "steps": 20}
    _, kept = run(tmp_path / "kept", source(), source(1), **views)
    monkeypatch.setattr(taught, "known_views", lambda job, still: None)
    _, each = run(tmp_path / "each", source(), source(1), **views)
    told = [(e.done, e.total) for e in kept if isinstance(e, Answered) and e.split == "train"]
    assert told == [(43, 86), (86, 86)] * 2
    assert losses(kept) == pytest.approx(losses(each), rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "once"),
    [
        ({"augment": "none"}, True),
        ({"augment": "none", "color_jitter": 0.1}, False),
        ({"augment": "none", "mixup": 0.1}, False),
        ({"augment": "none", "distill": "kd+at"}, False),
        ({"augment": "photo"}, False),
        ({"augment": "photo", "teacher_views": "1"}, True),
        ({"augment": "photo", "views": 2}, True),
        ({"augment": "photo", "views": 2, "cutmix": 1.0}, False),
        ({"augment": "photo", "views": 2, "repeats": 2}, False),
        ({"augment": "photo", "views": 2, "balance": "sampler"}, False),
        ({"augment": "photo", "views": 2, "distill": "at"}, False),
    ],
)
def test_when_one_answer_serves(tmp_path, settings, once):
    _, events = run(tmp_path / "run", source(), **{**settings, "steps": 2})
    assert any(isinstance(e, Answered) and e.split == "train" for e in events) == once


def test_answers_lie_in_the_cache_by_teacher_and_images(tmp_path, monkeypatch):
    from pocketvision.train.teacher import Teacher

    asked, answer = [], Teacher.answer
    monkeypatch.setattr(Teacher, "answer", lambda t, x: asked.append(len(x)) or answer(t, x))
    cache = Cache(folder=tmp_path / "cache")
    once = {"augment": "none", "cache": cache}
    runs = [run(tmp_path / str(k), source(), **once)[1] for k in range(2)]
    assert losses(runs[0]) == losses(runs[1])
    assert sum(asked) == 43 + 12
    run(tmp_path / "other", source(1), **once)
    assert sum(asked) == 2 * (43 + 12)


def test_teachers_are_measured_and_named(tmp_path):
    result, events = run(tmp_path / "run", source(), source(1))
    said = [e.text for e in events if isinstance(e, Note) and "teacher" in e.text]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    first, second = summary["teachers"]
    assert (
        said[0] == f"teacher small (t0): accuracy {first['accuracy']:.2%} on 12 validation images"
    )
    assert said[2].startswith("2 teachers together: accuracy ")
    assert (second["name"], second["sha256"]) == ("t1", "0")
    assert bundles.load(result.bundle).manifest["teachers"] == summary["teachers"]
    net, pixels = (
        source(1).bundle.network(),
        np.stack([s.pixels for s in dataset_of().splits["val"]]),
    )

    answers = logits_of(net, pixels, source(1).bundle.preprocess).argmax(1)
    assert second["accuracy"] == (answers == np.arange(12) % 3).mean()


def test_a_loss_that_starts_high_is_not_taken_for_an_explosion(tmp_path):
    """A teacher that is sure costs T^2 times more at first than guessing among three classes."""
    sure = source()
    weights = {k: v * 1e5 if ".classifier." in k else v for k, v in sure.bundle.weights.items()}
    sure = replace(sure, bundle=replace(sure.bundle, weights=weights))
    _, events = run(tmp_path / "run", sure, temperature=20.0, lr=1e-7, steps=25)
    assert min(losses(events)) > 5 * max(1.0, np.log(3))


def test_a_teacher_that_knows_better_helps(tmp_path):
    """Four of ten labels are wrong; the teacher was trained on the right ones."""
    right = dataset_of(120, 60)
    wrong = tuple(
        replace(s, label=(s.label + 1) % 3) if i % 5 < 2 else s
        for i, s in enumerate(right.splits["train"])
    )
    noisy = replace(right, splits={**right.splits, "train": wrong})
    long = {"steps": 160, "batch_size": 16, "augment": "none", "ema": 0.0, "label_smoothing": 0.0}
    master, _ = run(tmp_path / "master", data=right, **long)
    teacher = Source(bundle=bundles.load(master.bundle), record={"name": "m", "model": "small"})
    alone, _ = run(tmp_path / "alone", data=noisy, **long)
    helped, _ = run(tmp_path / "helped", teacher, data=noisy, distill_weight=1.0, **long)
    assert master.metrics.accuracy >= 0.95
    assert helped.metrics.accuracy >= alone.metrics.accuracy + 0.1


def test_a_run_needs_both_teachers_and_what_is_learned(tmp_path):
    config = with_teachers(TrainConfig(), 1)
    with pytest.raises(UsageError, match=r"fill it in by .*with_teachers"):
        train_run(dataset_of(), small_spec(), config, CONTRACT, tmp_path / "run")
    with pytest.raises(UsageError, match=r"fill it in by .*with_teachers"):
        train_run(
            dataset_of(), small_spec(), TrainConfig(), CONTRACT, tmp_path / "run",
            teachers=[source()],
        )  # fmt: skip


def test_a_stop_while_teachers_answer(tmp_path):
    with pytest.raises(Interrupted, match="while a teacher answered"):
        run(tmp_path / "run", source(), stop=lambda e: any(isinstance(x, Answered) for x in e))
    assert not (tmp_path / "run" / "checkpoint").exists()
