"""torch.compile: only in runs that are long enough, only where it is faster, the same function."""

import shutil
from dataclasses import replace

import pytest
from torch import nn

from pocketvision.data.cache import Cache
from pocketvision.train import compiling, step
from pocketvision.train import state as states
from tests.train.tiny import job_of


@pytest.fixture
def step_s(monkeypatch):
    """Seconds of a step by whether it is compiled, instead of measured ones; calls are listed."""
    table, calls = {"off": 2.0, "on": 1.0}, []

    def measured(job):
        calls.append(job.config.compile)
        if isinstance(table[job.config.compile], Exception):
            raise table[job.config.compile]
        return table[job.config.compile]

    monkeypatch.setattr(compiling, "_step_s", measured)
    return table, calls


def chosen(cache=None, **settings):
    job, words = compiling.decided(job_of(**settings), cache)
    return job.config.compile, words


def test_short_runs_are_not_even_measured(step_s):
    _, calls = step_s
    assert chosen() == ("off", "")
    assert chosen(time="59m", epochs=None) == ("off", "")
    assert calls == []
    assert chosen(steps=1700, epochs=None) == ("off", "")  # 1700 steps of 2 s are not an hour
    assert calls == ["off"]


def test_long_runs_take_what_is_faster_and_remember(step_s, tmp_path):
    table, calls = step_s
    cache = Cache(folder=tmp_path)
    assert chosen(cache, time="1h", epochs=None) == (
        "on",
        "torch.compile makes a step 2.00 times as fast: on",
    )
    table["on"] = 9.0
    assert chosen(cache, time="2h", epochs=None)[0] == "on"
    assert calls == ["off", "on"]
    assert chosen(None, time="1h", epochs=None)[0] == "off"


def test_a_gain_within_the_noise_is_none(step_s):
    step_s[0]["on"] = 2.0 / 1.04
    assert chosen(steps=5000, epochs=None)[0] == "off"


def test_a_compiler_that_fails_leaves_the_run_as_it_is(step_s, tmp_path):
    step_s[0]["on"] = RuntimeError("no compiler")
    found, words = chosen(Cache(folder=tmp_path), steps=5000, epochs=None)
    assert found == "off"
    assert "0.00 times" in words


def test_sizes_that_grow_are_left_alone(step_s):
    job = job_of(time="9h", epochs=None)
    job = replace(job, plan=replace(job.plan, first_hw=(8, 8)))
    assert compiling.decided(job, None)[0].config.compile == "off"
    assert step_s[1] == []


def test_what_is_said_is_not_tried(step_s):
    assert chosen(compile="on") == ("on", "")
    assert chosen(compile="off", time="9h", epochs=None) == ("off", "")
    assert step_s[1] == []


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_steps_do_the_same():
    found = {}
    for choice in ("off", "on"):
        job = job_of(compile=choice, drop_path=0.0)
        state = states.fresh(job)
        for module in state.network.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0  # compiled code draws numbers of its own
        found[choice] = [step.taken(state, job).loss for _ in range(4)]
    assert found["on"] == pytest.approx(found["off"], rel=1e-4)
    assert not [name for name in state.network.state_dict() if "_orig_mod" in name]
