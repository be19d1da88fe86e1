"""The number of threads: measured once, remembered, part of what decides the losses."""

import json
from dataclasses import replace

import pytest

from pocketvision.data.cache import Cache
from pocketvision.train import clock, tuning
from pocketvision.train.resume import differences
from tests.train.tiny import job_of


@pytest.fixture
def speeds(monkeypatch):
    """Speeds by number of threads instead of measured ones; the trials are counted."""
    table, tried = {1: 100.0, 2: 100.0, 4: 100.0}, []
    monkeypatch.setattr(
        tuning, "_images_per_s", lambda job, count: tried.append(count) or table[count]
    )
    monkeypatch.setattr(tuning, "usable_cores", lambda: 4)
    return table, tried


def test_all_cores_unless_fewer_are_clearly_faster(speeds):
    table, tried = speeds
    assert tuning.threads_for(job_of(), None).count == 4
    assert tried == [4, 2, 1]
    table[1] = 109.0
    assert tuning.threads_for(job_of(), None).count == 4
    table[1] = 111.0
    found = tuning.threads_for(job_of(), None)
    assert found.count == 1
    assert found.words == (
        "4 threads 100 images/s, 2 threads 100 images/s, 1 thread 111 images/s: 1 used"
    )


def test_steps_with_work_enough_are_not_tried_with_fewer(speeds):
    table, tried = speeds
    table[4] = 8 / 0.151  # batches of 8
    assert tuning.threads_for(job_of(), None).count == 4
    assert tried == [4]


def test_a_named_number_is_taken_without_a_trial(speeds):
    _, tried = speeds
    assert tuning.threads_for(job_of(threads=3), None).count == 3
    assert tried == []


def test_what_was_found_is_remembered_by_network_and_settings(speeds, tmp_path):
    table, tried = speeds
    table[2] = 200.0
    cache = Cache(folder=tmp_path)
    assert tuning.threads_for(job_of(), cache).count == 2
    table[2] = 1.0
    again = tuning.threads_for(job_of(seed=4), cache)
    assert (again.count, again.images_per_s) == (2, {})
    assert tried == [4, 2, 1]
    tuning.threads_for(job_of(batch_size=16), cache)
    assert tried == [4, 2, 1, 4]  # 16 images at 100 a second: a long step


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"k": 99}', '{"k": "2"}', "[" * 9000])
def test_a_damaged_memory_is_as_none(speeds, tmp_path, text):
    cache = Cache(folder=tmp_path)
    tuning.threads_for(job_of(), cache)
    key = next(iter(json.loads((tmp_path / "threads.json").read_text())))
    (tmp_path / "threads.json").write_text(text.replace("k", key))
    assert tuning.threads_for(job_of(), cache).count == 4
    assert json.loads((tmp_path / "threads.json").read_text())[key] == 4


def test_a_real_trial_leaves_the_network_alone():
    job = job_of()
    before = {k: v.clone() for k, v in job.network.state_dict().items()}
    found = tuning.threads_for(job, None)
    assert all(speed > 0 for speed in found.images_per_s.values())
    assert all((v == before[k]).all() for k, v in job.network.state_dict().items())


def test_threads_belong_to_what_decides_the_losses():
    a, b = job_of(threads=1).trace(), job_of(threads=2).trace()
    assert differences(a, b) == [("--threads", "--threads was 1, is 2")]


def test_older_traces_mean_the_defaults_of_settings_they_lack():
    now = job_of(threads=2).trace()
    older = {k: v for k, v in now.items() if k not in ("--threads", "--mixup")}
    assert differences(older, now) == []
    mixed = job_of(threads=2, mixup=0.2).trace()
    assert differences(older, mixed) == [("--mixup", "--mixup was left out, is 0.2")]


def test_the_parts_of_the_time_add_up():
    watch = clock.Clock()
    watch.mark("forward")
    watch.mark("forward")
    watch.mark("backward")
    assert set(watch.seconds) == {"forward", "backward"}
    total = {"forward": 1.0}
    clock.add_(total, {"forward": 2.0, "augment": 1.0})
    assert total == {"forward": 3.0, "augment": 1.0}
    assert clock.in_words(total) == "augment 25%, forward 75%"
    assert clock.in_words({}) == ""


def test_a_remembered_number_serves_a_replaced_config():
    found = tuning.Threads(count=2, images_per_s={})
    job = tuning.with_threads(job_of(), found)
    assert job.config == replace(job_of().config, threads=2)
