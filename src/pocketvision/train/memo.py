"""What trials in a run's first seconds found, remembered by network, settings and machine.

<cache>/<what>.json maps a hash to a whole number.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from pocketvision import spec_json
from pocketvision.bench.host import host
from pocketvision.data.cache import Cache
from pocketvision.errors import PocketvisionError
from pocketvision.files import replace_file
from pocketvision.train.config import digest
from pocketvision.train.device import CPU, words
from pocketvision.train.job import Job

MOST = 200
SETTINGS = ("batch_size", "freeze", "precision", "channels_last", "norms", "distill")


def key(job: Job) -> str:
    """Hash of all that decides how fast a job's steps are."""
    return digest(
        {
            "torch": torch.__version__,
            "cpu": host()["cpu"],
            "size": list(job.plan.last_hw),
            "network": json.loads(spec_json.dumps(job.network.spec)),
            **({} if job.device == CPU else {"device": words(job.device)}),
            "settings": {name: getattr(job.config, name) for name in SETTINGS},
        }
    )[:32]


def recalled(cache: Cache | None, what: str) -> dict[str, int]:
    """Numbers over 0 by key; none where there is no cache, or the file is not what was written."""
    if cache is None:
        return {}
    try:
        rows: Any = json.loads(_place(cache, what).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(rows, dict):
        return {}
    return {k: v for k, v in rows.items() if type(v) is int and v > 0}


def remember(cache: Cache | None, what: str, name: str, value: int) -> None:
    """Keep a number; a full disk costs the next run some seconds, this one nothing."""
    if cache is None:
        return
    rows = {**recalled(cache, what), name: value}
    newest = dict(list(rows.items())[-MOST:])
    try:
        replace_file(_place(cache, what), json.dumps(newest, indent=1) + "\n")
    except (OSError, PocketvisionError):
        return


def _place(cache: Cache, what: str) -> Path:
    return cache.folder / f"{what}.json"
