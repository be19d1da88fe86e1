"""MLflow: a database below the run's folder, or the server that was named."""

from __future__ import annotations

import json
import logging
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pocketvision.errors import MissingRuntime
from pocketvision.train.events import Event, Finished, Planned
from pocketvision.train.trackers import Figures, Places, curves, final, new_ones

MOST_PARAMS = 100  # that one call may carry


class MLflow:
    """One run of MLflow, the same one after a resume: its id is kept in `mlflow.json`, what it
    holds already is asked of it. Raises MissingRuntime.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any], places: Places) -> None:
        # Without it importing the package alone sends usage figures over the network.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        try:
            import mlflow.tracking

            if places.mlflow_uri is None:
                import alembic  # noqa: F401
                import sqlalchemy  # noqa: F401
        except ImportError as e:
            raise MissingRuntime.of(e.name or "mlflow", "mlflow") from None
        self.mlflow: Any = mlflow
        self.folder, self.facts, self.places = folder, facts, places
        self.uri = places.mlflow_uri or f"sqlite:///{(folder / 'mlflow.db').absolute()}"
        self.where = f"mlflow ui --backend-store-uri {self.uri}"
        self.client: Any = None
        self.id = ""
        self.done: dict[str, int] = {}
        self.step = 0
        self.ended = False

    def __call__(self, event: Event) -> None:
        """Add what the event tells to the curves."""
        if isinstance(event, Planned):
            self._start(event)
        if isinstance(event, Finished):
            self._log(self.step, final(event))
            self.ended = True
        step, figures = curves(event)
        self._log(step, new_ones(step, figures, self.done))
        self.step = max(self.step, step)

    def _log(self, step: int, figures: Figures) -> None:
        if figures:
            metric, now = self.mlflow.entities.Metric, int(time.time() * 1000)
            rows = [metric(name, value, now, step) for name, value in figures.items()]
            self.client.log_batch(self.id, metrics=rows)

    def _start(self, planned: Planned) -> None:
        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of each table it makes
        logging.getLogger("alembic").setLevel(logging.WARNING)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.step = planned.step
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the packages below it, nothing we can change
            self.client = self.mlflow.tracking.MlflowClient(tracking_uri=self.uri)
            if not self._found():
                self._make(planned)

    def _found(self) -> bool:
        """Go on with the run that was kept, where the server still has it."""
        try:
            self.id = str(json.loads((self.folder / "mlflow.json").read_bytes())["id"])
            names = list(self.client.get_run(self.id).data.metrics)
        except (OSError, ValueError, KeyError, TypeError, self.mlflow.exceptions.MlflowException):
            return False
        for name in names:
            history = self.client.get_metric_history(self.id, name)
            self.done[name] = max(point.step for point in history)
        self.client.update_run(self.id, status="RUNNING")
        return True

    def _make(self, planned: Planned) -> None:
        experiment = self.client.get_experiment_by_name(self.places.mlflow_experiment)
        key = experiment.experiment_id if experiment else None
        if key is None:
            key = self.client.create_experiment(self.places.mlflow_experiment)
        self.id = self.client.create_run(key, run_name=self.folder.name).info.run_id
        (self.folder / "mlflow.json").write_text(json.dumps({"id": self.id}))
        for part in _params({**self.facts, **planned.plan.to_dict()}):
            rows = [self.mlflow.entities.Param(k, str(v)) for k, v in part]
            self.client.log_batch(self.id, params=rows)

    def close(self) -> None:
        """End the run; one that did not finish is marked so."""
        if self.id:
            self.client.set_terminated(self.id, "FINISHED" if self.ended else "KILLED")


def _params(facts: Mapping[str, Any]) -> Iterator[list[tuple[str, Any]]]:
    """The facts in pieces that one call can carry."""
    rows = list(facts.items())
    for start in range(0, len(rows), MOST_PARAMS):
        yield rows[start : start + MOST_PARAMS]
