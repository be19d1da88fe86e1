"""The verbs of the command, by name: the one dictionary from a word to its function."""

from __future__ import annotations

from collections.abc import Callable

from pocketvision.cli.analyze import analyze
from pocketvision.cli.bench import bench
from pocketvision.cli.compare import compare
from pocketvision.cli.compile import compile_model
from pocketvision.cli.data import check
from pocketvision.cli.doctor import doctor
from pocketvision.cli.eval import evaluate
from pocketvision.cli.export import export
from pocketvision.cli.forecast import forecast
from pocketvision.cli.import_weights import import_weights
from pocketvision.cli.list import list_models
from pocketvision.cli.predict import predict
from pocketvision.cli.recalibrate import recalibrate_bn
from pocketvision.cli.report import report
from pocketvision.cli.shard import shard
from pocketvision.cli.show import show
from pocketvision.cli.train import train
from pocketvision.cli.weights import list_weights, pull, verify

COMMANDS: dict[str, Callable[..., object]] = {
    "list": list_models,
    "show": show,
    "analyze": analyze,
    "import": import_weights,
    "train": train,
    "report": report,
    "compare": compare,
    "eval": evaluate,
    "predict": predict,
    "forecast": forecast,
    "recalibrate-bn": recalibrate_bn,
    "export": export,
    "compile": compile_model,
    "bench": bench,
    "doctor": doctor,
}
GROUPS: dict[str, tuple[str, dict[str, Callable[..., object]]]] = {
    "data": ("Look at data.", {"check": check, "shard": shard}),
    "weights": (
        "Get public weights.",
        {"list": list_weights, "pull": pull, "verify": verify},
    ),
}
# How the overview lists them: first look, then data, training, use, delivery.
ORDER = (
    "list",
    "show",
    "analyze",
    "weights list",
    "weights pull",
    "weights verify",
    "import",
    "data check",
    "data shard",
    "train",
    "report",
    "compare",
    "eval",
    "predict",
    "forecast",
    "recalibrate-bn",
    "export",
    "compile",
    "bench",
    "doctor",
)
