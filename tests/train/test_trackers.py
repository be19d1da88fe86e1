"""Trackers get each point once, across stops and resumes, and never stop a run."""

import json
import sys
import types
from dataclasses import replace

import pytest

from pocketvision.cli.setup import saved_config
from pocketvision.errors import Interrupted, MissingRuntime, UsageError
from pocketvision.train import config as configs
from pocketvision.train import trackers
from pocketvision.train.config import TrainConfig, from_dict
from pocketvision.train.events import EpochDone, Note, Planned, StepDone
from pocketvision.train.run import train_run
from pocketvision.train.trackers import Places
from tests.train.tiny import CONTRACT, dataset_of, losses, small_spec

CONFIG = TrainConfig(
    epochs=3, eval_every=1, batch_size=8, lr=0.02, threads=1, workers=1
)  # 18 steps
POINTS = {10, 18}  # every tenth step, and the last


def run(folder, track, **kwargs):
    config = kwargs.pop("config", CONFIG)
    return train_run(
        dataset_of(), small_spec(), replace(config, track=track), CONTRACT, folder, **kwargs
    )


def stopped_and_resumed(folder, track, *, at, lost=False, **kwargs):
    """Every event of a run that is stopped after `at` steps and goes on; where the last step was
    `lost`, as in a run that was killed, it takes that step again.
    """
    events = []
    kwargs["on_event"] = events.append
    config = replace(CONFIG, checkpoint_minutes=0)  # after every step; two are kept
    with pytest.raises(Interrupted):
        run(folder, track, config=config, should_stop=lambda: len(losses(events)) >= at, **kwargs)
    if lost:
        newest = sorted((folder / "checkpoint").glob("step-*"))[-1]
        (newest / "state.json").write_text("{}")
    run(folder, track, resume=True, **kwargs)
    taken = [e.step for e in events if isinstance(e, StepDone)]
    assert taken == [*range(1, at + 1), *range(at if lost else at + 1, 19)]
    return events


# A point at step 10 is written again, or the row of epoch 2.
STOPS = pytest.mark.parametrize(("at", "lost"), [(12, False), (10, True), (12, True)])


# ------------------------------------------------------------------------------------------- names


def test_one_list_of_names():
    assert tuple(trackers.TRACKERS) == configs.TRACKERS
    assert TrainConfig(track="wandb, tensorboard,wandb").trackers == ("wandb", "tensorboard")
    assert TrainConfig().trackers == TrainConfig(track="").trackers == ()
    with pytest.raises(UsageError, match=r"--track knows no 'tensorbord'; did you mean 'tensorb"):
        TrainConfig(track="tensorbord")


def test_a_tracker_belongs_to_the_context(tmp_path):
    assert "track" not in TrainConfig(track="wandb").trace()
    assert "track" not in from_dict({"epochs": 3}).trace()
    (tmp_path / "config.json").write_text(json.dumps(TrainConfig(track="wandb").to_dict()))
    assert saved_config(tmp_path, {}).track == "wandb"
    assert saved_config(tmp_path, {"track": "mlflow"}).track == "mlflow"
    assert saved_config(tmp_path, {"track": ""}).trackers == ()


def test_places_stay_here_unless_the_environment_says_so():
    assert Places.of({}) == Places.of({"WANDB_MODE": ""}) == Places()
    assert Places().wandb_mode == "offline"
    assert Places().mlflow_uri is None
    there = Places.of({"WANDB_MODE": "online", "MLFLOW_TRACKING_URI": "http://there:5000"})
    assert (there.wandb_mode, there.mlflow_uri) == ("online", "http://there:5000")


@pytest.mark.parametrize("name", configs.TRACKERS)
def test_a_missing_package_is_named_before_anything_is_read(tmp_path, monkeypatch, name):
    for module in ("torch.utils.tensorboard", "wandb", "mlflow", "mlflow.tracking"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingRuntime, match=rf"pip install 'pocketvision\[{name}\]'") as e:
        run(tmp_path / "run", name)
    assert e.value.exit_code == 5
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------------------------------ points


def test_curves_of_a_run_are_its_tables(tmp_path):
    points, events = {}, []

    def note(event):
        events.append(event)
        step, figures = trackers.curves(event)
        for name, value in figures.items():
            points.setdefault(name, {})[step] = value

    result = run(tmp_path / "run", None, on_event=note)
    assert set(points["train/loss"]) == POINTS
    assert points["train/loss"] == {
        e.step: e.loss for e in events if isinstance(e, StepDone) and e.step in POINTS
    }
    rows = [e.row for e in events if isinstance(e, EpochDone)]
    assert points["epoch/train_loss"] == {r.step: r.train_loss for r in rows}
    assert points["val/accuracy"][18] == result.metrics.accuracy
    assert trackers.final(events[-1])["final/accuracy"] == result.metrics.accuracy


class Broken:
    """Fails at the event of that kind."""

    where = "nowhere"

    def __init__(self, kind):
        self.kind, self.seen, self.closed = kind, [], 0

    def __call__(self, event):
        self.seen.append(event)
        if isinstance(event, self.kind):
            raise OSError(28, "No space left on device")

    def close(self):
        self.closed += 1
        raise RuntimeError("and it cannot even be closed")


@pytest.mark.parametrize("kind", [Planned, StepDone, EpochDone])
def test_a_tracker_that_fails_is_off_and_the_run_goes_on(tmp_path, monkeypatch, kind):
    broken, events, plain = Broken(kind), [], []
    monkeypatch.setitem(trackers.TRACKERS, "wandb", lambda *_: broken)
    result = run(tmp_path / "run", "wandb", on_event=events.append)
    whole = run(tmp_path / "plain", None, on_event=plain.append)
    assert result.metrics.to_dict() == whole.metrics.to_dict()
    assert losses(events) == losses(plain)
    said = [e.text for e in events if isinstance(e, Note) and "failed" in e.text]
    assert len(said) == 1
    assert "wandb failed and is off from here on (OSError: [Errno 28] No space" in said[0]
    assert sum(isinstance(e, kind) for e in broken.seen) == 1
    assert broken.closed == 1


# ------------------------------------------------------------------------------------- tensorboard


def scalars(folder):
    """{name: {step: value}} as TensorBoard itself reads them, and how many points there are."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    reader = accumulator.EventAccumulator(str(folder))
    reader.Reload()
    rows = {name: reader.Scalars(name) for name in reader.Tags()["scalars"]}
    count = {name: len(points) for name, points in rows.items()}
    return {name: {p.step: p.value for p in points} for name, points in rows.items()}, count


@STOPS
def test_tensorboard_shows_each_step_once(tmp_path, at, lost):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    folder = tmp_path / "run"
    events = stopped_and_resumed(folder, "tensorboard", at=at, lost=lost)
    points, counts = scalars(folder / "tensorboard")
    assert set(points["train/loss"]) == POINTS
    assert set(points["val/accuracy"]) == {6, 12, 18}
    assert all(counts[name] == len(points[name]) for name in points)
    by_step = {e.step: e.loss for e in events if isinstance(e, StepDone)}
    assert points["train/loss"][10] == pytest.approx(by_step[10])
    assert any(str(folder / "tensorboard") in e.text for e in events if isinstance(e, Note))


# -------------------------------------------------------------------------------------------- fakes


class FakeWandb(types.ModuleType):
    """Takes what W&B's client takes; keeps calls."""

    def __init__(self):
        super().__init__("wandb")
        self.inits, self.points, self.exits, self.summary = [], [], [], {}

    def Settings(self, **kwargs):
        return kwargs

    def init(self, **kwargs):
        self.inits.append(kwargs)
        return types.SimpleNamespace(
            log=lambda figures, step: self.points.extend((k, step) for k in figures),
            finish=lambda exit_code: self.exits.append(exit_code),
            summary=self.summary,
            url=None,
        )


@STOPS
def test_wandb_goes_on_with_its_run(tmp_path, monkeypatch, at, lost):
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    events = stopped_and_resumed(tmp_path / "run", "wandb", at=at, lost=lost)
    first, second = fake.inits
    assert first["mode"] == second["mode"] == "offline"
    assert first["id"] == second["id"]
    assert second["resume"] == "allow"
    assert first["config"]["batch_size"] == 8
    assert sorted(s for k, s in fake.points if k == "train/loss") == sorted(POINTS)
    assert sorted(s for k, s in fake.points if k == "val/accuracy") == [6, 12, 18]
    assert fake.exits == [1, 0]  # stopped, then finished
    assert fake.summary["final/accuracy"] == events[-1].metrics.accuracy


class FakeMlflow:
    """A server that outlives its clients, as modules `mlflow`, `mlflow.tracking` and so on."""

    def __init__(self, monkeypatch):
        self.runs, self.uris = {}, []
        parts = {name: types.ModuleType(f"mlflow.{name}") for name in ("tracking", "entities")}
        parts["exceptions"] = types.ModuleType("mlflow.exceptions")
        parts["exceptions"].MlflowException = type("MlflowException", (Exception,), {})
        parts["entities"].Metric = lambda *row: row
        parts["entities"].Param = lambda *row: row
        parts["tracking"].MlflowClient = self.client
        package = types.ModuleType("mlflow")
        for name, module in parts.items():
            setattr(package, name, module)
            monkeypatch.setitem(sys.modules, f"mlflow.{name}", module)
        monkeypatch.setitem(sys.modules, "mlflow", package)

    def client(self, tracking_uri):
        self.uris.append(tracking_uri)
        return self

    def get_experiment_by_name(self, name):
        return None

    def create_experiment(self, name):
        return "7"

    def create_run(self, key, run_name):
        self.runs["r1"] = {"name": run_name, "metrics": [], "params": {}, "status": "RUNNING"}
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id="r1"))

    def log_batch(self, run, metrics=(), params=()):
        assert len(params) <= 100
        self.runs[run]["metrics"] += metrics
        self.runs[run]["params"] |= dict(params)

    def get_run(self, run):
        names = {name: 0.0 for name, *_ in self.runs[run]["metrics"]}
        return types.SimpleNamespace(data=types.SimpleNamespace(metrics=names))

    def get_metric_history(self, run, name):
        rows = self.runs[run]["metrics"]
        return [types.SimpleNamespace(step=row[3]) for row in rows if row[0] == name]

    def update_run(self, run, status):
        self.runs[run]["status"] = status

    set_terminated = update_run


@STOPS
def test_mlflow_goes_on_with_its_run(tmp_path, monkeypatch, at, lost):
    fake = FakeMlflow(monkeypatch)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    stopped_and_resumed(
        tmp_path / "run", "mlflow", at=at, lost=lost, places=Places(mlflow_uri="http://there:5000")
    )
    assert set(fake.uris) == {"http://there:5000"}
    (row,) = fake.runs.values()
    assert row["status"] == "FINISHED"
    assert row["name"] == "run"
    assert row["params"]["batch_size"] == "8"
    assert row["params"]["model"] == "small"
    steps = sorted(point[3] for point in row["metrics"] if point[0] == "train/loss")
    assert steps == sorted(POINTS)
    assert [point[3] for point in row["metrics"] if point[0] == "final/accuracy"] == [18]


def test_a_run_that_was_stopped_is_marked_so(tmp_path, monkeypatch):
    fake = FakeMlflow(monkeypatch)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    events = []
    with pytest.raises(Interrupted):
        run(
            tmp_path / "run",
            "mlflow",
            on_event=events.append,
            should_stop=lambda: len(losses(events)) >= 2,
            places=Places(mlflow_uri="http://there"),
        )
    assert fake.runs["r1"]["status"] == "KILLED"


def test_what_an_id_file_holds_may_be_nonsense(tmp_path, monkeypatch):
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "wandb.json").write_text('{"id": 3, "steps": [1]}')
    run(folder, "wandb")
    assert len(fake.inits[0]["id"]) == 8
