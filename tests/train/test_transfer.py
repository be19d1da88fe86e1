"""A run from weights: its first phase, its stages, its stops, what it leaves behind."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from pocketvision import bundle as bundles
from pocketvision.data.cache import Cache
from pocketvision.data.dataset import Dataset, Sample
from pocketvision.decision import Decision
from pocketvision.errors import Interrupted, UsageError
from pocketvision.train.config import TrainConfig
from pocketvision.train.defaults import from_weights
from pocketvision.train.events import EpochDone, Extracted, Note, Planned
from pocketvision.train.run import train_run
from pocketvision.train.start import started
from tests.train.sources import bundle, folded_bundle
from tests.train.tiny import losses

NAMES = ("dark", "light")
GRADUAL = {"freeze": "gradual", "steps": 12, "batch_size": 8, "trunk_lr": 0.5, "stage_lr": 0.5}


def dataset(n=40, n_val=10):
    """Dark and light noise: any trunk tells them apart."""
    splits = {}
    for split, count, seed in (("train", n, 0), ("val", n_val, 1)):
        draw = np.random.default_rng(seed)
        rows = []
        for i in range(count):
            pixels = draw.integers(0, 120, (32, 32, 3), dtype=np.uint8) + np.uint8(100 * (i % 2))
            rows.append(Sample(None, i % 2, f"{split}/{i}", pixels))
        splits[split] = tuple(rows)
    return Dataset("noise", None, NAMES, splits, "made for a test")


SOURCE = folded_bundle(width=0.35)


def run(folder, *, source=SOURCE, resolution=None, **settings):
    """A run and its events; `stop` is told them so far."""
    stop, resume = settings.pop("stop", lambda events: False), settings.pop("resume", False)
    cache = settings.pop("cache", None)
    config = from_weights(TrainConfig(**{"threads": 1, "workers": 1, **settings}))
    start = started(source, NAMES, resolution=resolution, source={"name": "s", "sha256": "0"})
    events = []
    result = train_run(
        dataset(),
        start.spec,
        config,
        start.preprocess,
        folder,
        on_event=events.append,
        should_stop=lambda: stop(events),
        resume=resume,
        cache=cache,
        start=start,
    )
    return result, events


def rows_of(folder):
    rows = csv.DictReader((folder / "results.csv").read_text().splitlines())
    return [{k: v for k, v in r.items() if k not in ("seconds", "images_per_s")} for r in rows]


class Seen:
    """Counts images that networks built from now on see in their trunk."""

    def __init__(self, monkeypatch):
        from pocketvision.model import Network

        self.count, trunk = 0, Network.trunk

        def counted(network, x):
            self.count += len(x)
            return trunk(network, x)

        monkeypatch.setattr(Network, "trunk", counted)


def test_a_frozen_trunk_runs_once_an_image_and_does_not_move(tmp_path, monkeypatch):
    monkeypatch.setattr("pocketvision.train.run.kept", lambda *a: tmp_path)  # golden vectors
    seen = Seen(monkeypatch)
    result, events = run(tmp_path / "run", freeze="trunk")
    assert seen.count == 40 + 10
    assert result.metrics.accuracy >= 0.9
    done = [e for e in events if isinstance(e, Extracted)]
    assert [(e.split, e.done, e.total) for e in done] == [
        ("val", 10, 10), ("train", 32, 40), ("train", 40, 40)
    ]  # fmt: skip
    assert losses(events) == []
    assert len([e for e in events if isinstance(e, EpochDone)]) == 1


def test_the_frozen_result_is_the_source_with_another_last_layer(tmp_path):
    result, _ = run(tmp_path / "run", freeze="trunk")
    made = bundles.load(result.bundle)
    assert made.preprocess == SOURCE.preprocess
    for key, value in made.weights.items():
        if ".classifier." not in key:
            assert torch.equal(value, SOURCE.weights[key])
    assert made.manifest["start"] == {"name": "s", "sha256": "0"}
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["start"]["name"] == "s"
    assert (summary["steps"], summary["epochs"]) == (0, 0)
    (row,) = rows_of(tmp_path / "run")
    assert (row["epoch"], row["step"]) == ("0", "0")
    assert float(row["val_accuracy"]) == result.metrics.accuracy


def test_figures_from_kept_features_equal_those_of_the_bundle(tmp_path):
    from pocketvision.preprocess import prepare

    result, _ = run(tmp_path / "run", freeze="trunk")
    made = bundles.load(result.bundle)
    x = np.stack([prepare(s.pixels, made.preprocess) for s in dataset().splits["val"]])
    logits = bundles.outputs(made.network(), torch.from_numpy(x))["output.label"].numpy()
    logits = logits.astype(float) / made.decision["label"].temperature
    p = np.exp(logits).max(1) / np.exp(logits).sum(1)
    with (tmp_path / "run" / "predictions.csv").open() as f:
        shown = [float(r["probability"]) for r in csv.DictReader(f)]
    np.testing.assert_allclose(p, shown, rtol=1e-4)


@pytest.mark.parametrize("freeze", ["none", "gradual"])
def test_a_moving_trunk_gets_its_norms_back_and_moves(tmp_path, freeze):
    result, _ = run(tmp_path / "run", **{**GRADUAL, "freeze": freeze})
    made = bundles.load(result.bundle)
    assert made.spec.stem.norm == "batch"
    changed = [k for k, v in SOURCE.weights.items() if k in made.weights and k.endswith("weight")
               and not torch.equal(v, made.weights[k])]  # fmt: skip
    assert "stem.conv.weight" in changed
    assert "blocks.10.expand.conv.weight" in changed


def test_each_stage_that_joins_is_said(tmp_path):
    _, events = run(tmp_path / "run", **GRADUAL)
    said = [e.text for e in events if isinstance(e, Note) and e.text.startswith("from step")]
    assert said[0] == "from step 1: the last 1 of 5 stages train"
    assert said[-1] == "from step 6: the last 5 of 5 stages train"
    assert len(said) == 5


def test_held_stages_stay_until_their_turn(tmp_path):
    stop = lambda events: len(losses(events)) >= 1  # noqa: E731
    with pytest.raises(Interrupted):
        run(tmp_path / "run", stop=stop, **GRADUAL)
    from pocketvision.train import checkpoint

    saved = checkpoint.newest(tmp_path / "run" / "checkpoint")
    moved = {k.removeprefix("optimizer:").split("/")[0] for k in saved.tensors if "exp_avg" in k}
    assert "blocks.17.conv.conv.weight" in moved
    assert "blocks.13.expand.conv.weight" in moved
    assert not any(name.startswith(("stem", "blocks.5.", "blocks.12.")) for name in moved)
    kernel = saved.tensors["network:stem.conv.weight"]
    assert torch.equal(kernel, SOURCE.weights["stem.conv.weight"])


def stop_at(kind, count):
    return lambda events: sum(isinstance(e, kind) for e in events) >= count


@pytest.mark.parametrize("cached", [True, False])
def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path, cached):
    cache = Cache(folder=tmp_path / "cache") if cached else None
    whole, events = run(tmp_path / "whole", cache=cache, **GRADUAL)
    folder, cut = tmp_path / "cut", []
    stops = [stop_at(Extracted, 2), stop_at(EpochDone, 1), *(
        lambda events, n=n: len(losses(events)) >= n for n in (2, 3, 4))]  # fmt: skip
    for k, stop in enumerate(stops):
        seen = []

        def told(events, stop=stop, seen=seen):
            seen[:] = events
            return stop(events)

        with pytest.raises(Interrupted, match="everything is saved in"):
            run(folder, cache=cache, stop=told, resume=k > 0, **GRADUAL)
        cut += losses(seen)
    end, rest = run(folder, cache=cache, resume=True, **GRADUAL)
    assert next(e for e in rest if isinstance(e, Planned)).step == len(cut) == 10
    assert cut + losses(rest) == losses(events)
    for name in ("weights.safetensors", "golden.safetensors", "spec.json"):
        assert (end.bundle / name).read_bytes() == (whole.bundle / name).read_bytes()
    assert rows_of(folder) == rows_of(tmp_path / "whole")


def test_a_frozen_run_that_was_stopped_ends_like_the_whole_one(tmp_path):
    whole, _ = run(tmp_path / "whole", freeze="trunk")
    with pytest.raises(Interrupted):
        run(tmp_path / "cut", freeze="trunk", stop=stop_at(Extracted, 2))
    end, _ = run(tmp_path / "cut", freeze="trunk", resume=True)
    again, events = run(tmp_path / "cut", freeze="trunk", resume=True)
    assert len([e for e in events if isinstance(e, EpochDone)]) == 0
    for result in (end, again):
        data = (result.bundle / "weights.safetensors").read_bytes()
        assert data == (whole.bundle / "weights.safetensors").read_bytes()


def test_other_weights_cannot_resume_a_run(tmp_path):
    with pytest.raises(Interrupted):
        run(tmp_path / "run", freeze="trunk", stop=stop_at(Extracted, 2))
    other = folded_bundle(width=0.35, seed=1)
    with pytest.raises(UsageError, match="the weights to start from changed"):
        run(tmp_path / "run", source=other, freeze="trunk", resume=True)


@pytest.mark.parametrize("freeze", ["none", "gradual"])
def test_time_covers_the_first_phase(tmp_path, freeze):
    with pytest.raises(Interrupted):
        run(tmp_path / "run", time="20s", freeze=freeze, stop=lambda e: len(losses(e)) >= 2)
    plan = json.loads((tmp_path / "run" / "config.json").read_text())
    assert plan["steps"] > 2


def test_known_classes_start_where_the_source_was(tmp_path):
    first, _ = run(tmp_path / "first", freeze="trunk")
    again, _ = run(tmp_path / "again", source=bundles.load(first.bundle), freeze="trunk")
    assert again.metrics.accuracy >= first.metrics.accuracy >= 0.9


def test_networks_with_norms_maps_and_cells_train_too(tmp_path):
    for name, options in (("mobilenet_v3_small", {"width": 0.35}), ("squeezenet_1_1", {})):
        source = bundle(name, **options)
        result, _ = run(tmp_path / name, source=source, **{**GRADUAL, "steps": 2})
        assert bundles.load(result.bundle).spec.heads[0][1].classes == 2


def test_defaults_are_filled_in_only_where_nothing_was_said():
    config = from_weights(TrainConfig())
    assert (config.freeze, config.lr, config.epochs) == ("none", 1e-3, 12)
    assert from_weights(TrainConfig(time="5m")).epochs is None
    gradual = from_weights(TrainConfig(lr=0.5, freeze="gradual"))
    assert (gradual.lr, gradual.trunk_lr, gradual.stage_lr) == (0.5, 0.1, 0.7)
    with pytest.raises(UsageError, match=r"--freeze trunk .* has no epochs; leave --epochs out"):
        from_weights(TrainConfig(freeze="trunk", epochs=3))
    with pytest.raises(UsageError, match=r"--freeze must be none or trunk or gradual.*'gradual'"):
        TrainConfig(freeze="gradua")


def test_freezing_needs_weights(tmp_path):
    start = started(SOURCE, NAMES)
    with pytest.raises(UsageError, match="--freeze trunk needs weights to start from: add --from"):
        train_run(
            dataset(), start.spec, TrainConfig(freeze="trunk"), start.preprocess, tmp_path / "run"
        )
    other = replace(start, spec=replace(start.spec, name="other"))
    with pytest.raises(UsageError, match="of another network than mobilenet_v2"):
        train_run(
            dataset(), start.spec, TrainConfig(), start.preprocess, tmp_path / "run", start=other
        )


def test_mixing_leaves_the_first_phase_alone(tmp_path):
    """Epoch 0 is fitted to whole images and their own classes; norms are measured on mixed ones."""
    few = {"steps": 3, "batch_size": 8, "threads": 1}
    rows = []
    for kind in ({}, {"mixup": 1.0}, {"cutmix": 1.0, "erasing": 1.0}):
        run(tmp_path / str(len(rows)), **few, **kind)
        rows.append(rows_of(tmp_path / str(len(rows)))[0])
    assert [row["epoch"] for row in rows] == ["0"] * 3
    for row in rows[1:]:
        assert row["val_accuracy"] == rows[0]["val_accuracy"]
        for name in ("train_loss", "val_loss"):
            assert float(row[name]) == pytest.approx(float(rows[0][name]), rel=1e-3)


def test_norms_are_measured_on_batches_as_the_steps_see_them(tmp_path, monkeypatch):
    from pocketvision.train import mixing, prepare

    counted = []
    plan = mixing.planned
    monkeypatch.setattr(
        mixing, "planned", lambda *a, **k: counted.append(k["step"]) or plan(*a, **k)
    )
    run(tmp_path / "run", steps=2, batch_size=8, mixup=1.0)
    assert counted == [*range(prepare.MEASURED_BATCHES), 0, 1]


def test_the_decision_of_the_source_is_not_inherited(tmp_path):
    foreign = Decision(temperature=7.0, threshold=0.999, images=1)
    end, _ = run(tmp_path, source=replace(SOURCE, decision={"label": foreign}), freeze="trunk")
    kept = bundles.load(end.bundle).decision["label"]
    assert kept.images == 10
    assert kept.temperature != 7.0
