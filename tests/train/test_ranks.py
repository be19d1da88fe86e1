"""Several processes do what one does: the same gradients, figures and files; or end together."""

import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketvision.errors import UsageError
from pocketvision.train import checkpoint
from pocketvision.train.events import Note
from pocketvision.train.join import Place, joined
from pocketvision.train.loop import fit
from pocketvision.train.ranks import ALONE, Ranks
from pocketvision.train.together import check_ranks
from tests.train import rank_cases
from tests.train.test_loop import interrupted_after
from tests.train.tiny import job_of, losses

ROOT = Path(__file__).parents[2]
DIGITS = ["train", "digits", "--width", "0.35", "--threads", "1", "--batch-size", "16",
          "--augment", "none", "--steps", "5000", "--checkpoint-minutes", "0"]  # fmt: skip


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def started(argv, count, *, only=None, port=None):
    """Processes as torchrun would start them."""
    paths = [str(ROOT / "src"), str(ROOT)]
    port = port or free_port()
    common = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1",
              "WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1",
              "MASTER_PORT": str(port)}  # fmt: skip
    return [
        subprocess.Popen(
            [sys.executable, "-m", *argv],
            env={**common, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (range(count) if only is None else only)
    ]


def ended(processes, timeout=90):
    """(exit codes, what each printed, the lines of each on stderr)."""
    try:
        told = [p.communicate(timeout=timeout) for p in processes]
    finally:
        for p in processes:
            p.kill()
    return (
        [p.returncode for p in processes],
        [o for o, _ in told],
        [e.splitlines() for _, e in told],
    )


def answers(folder, count, *cases):
    codes, _, errors = ended(started(["tests.train.rank_cases", str(folder), *cases], count))
    assert codes == [0] * count, errors
    return [torch.load(folder / f"{r}.pt", weights_only=False) for r in range(count)]


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    folder = tmp_path_factory.mktemp("three")
    return answers(folder, 3, "exchange", "rounds", "gradients")


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two processes, and the folder that they had."""
    folder = tmp_path_factory.mktemp("two")
    interrupted_after(job_of(**rank_cases.RUN), folder, 5)
    return answers(folder, 2, "gradients", "run", "resumed", "bad"), folder


@pytest.fixture(scope="module")
def alone():
    return rank_cases.case_gradients(ALONE, None)


# ------------------------------------------------------------------------------------- exchanges


@pytest.mark.parametrize("n", [0, 1, 2, 7, 30])
def test_shares_cover_all_rows_once_as_numpy_splits_them(n):
    for count in (1, 2, 3, 5):
        parts = [list(range(n))[Ranks(rank=r, count=count).part(n)] for r in range(count)]
        assert parts == [p.tolist() for p in np.array_split(np.arange(n), count)]


def test_exchanges_say_what_all_processes_hold(three):
    for found in (row["exchange"] for row in three):
        assert found["sums"][0].tolist() == [[6.0] * 3] * 2
        assert found["sums"][1].item() == 6
        assert found["each"] == [[0], [1], [2]]
        assert found["gathered"].tolist() == np.arange(14).reshape(7, 2).tolist()
        assert found["agreed"] == [True, False]
        assert found["told"] == b"word"
        assert found["said"] == {"a": [1, None]}
        assert found["same"] == [1.0, 1.0]


def test_rounds_give_every_image_to_one_process(three):
    rounds = [row["rounds"] for row in three]
    for found in rounds:
        assert found["answers"].tolist() == np.arange(28.0).reshape(14, 2).tolist()
        assert found["done"] == [9, 5]
    # In the second round nothing is left for the last one: it looks at the first image for a shape.
    assert [found["looked"] for found in rounds] == [
        [0, 1, 2, 9, 10, 11],
        [3, 4, 5, 12, 13],
        [6, 7, 8, 0],
    ]


# ------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("name", rank_cases.jobs())
@pytest.mark.parametrize("count", [2, 3])
def test_gradients_are_those_of_one_process_with_the_whole_batch(request, alone, count, name):
    rows = request.getfixturevalue("two")[0] if count == 2 else request.getfixturevalue("three")
    one, many = alone[name], [row["gradients"][name] for row in rows]
    assert sum(m["images"] for m in many) == one["images"]
    whole = torch.cat([g.flatten() for g in one["gradients"].values()])
    for found in many:
        assert found["loss"] == pytest.approx(one["loss"], rel=1e-12)
        got = torch.cat([found["gradients"][n].flatten() for n in one["gradients"]])
        assert (got - whole).norm() <= 1e-12 * whole.norm()
        for key, value in one["kept"].items():
            assert torch.allclose(found["kept"][key], value, rtol=1e-12, atol=1e-14), key


def test_shares_of_a_batch_differ_by_one_image(two, three):
    assert {row["gradients"]["plain"]["images"] for row in two[0]} == {3, 4}
    assert {row["gradients"]["plain"]["images"] for row in three} == {2, 3}


# ----------------------------------------------------------------------------------- whole runs


def test_a_run_of_two_is_that_of_one_but_for_rounding(two, tmp_path):
    events = list(fit(job_of(**rank_cases.RUN), tmp_path))
    end = events[-1]
    for found in (row["run"] for row in two[0]):
        assert found["losses"] == pytest.approx(losses(events), rel=1e-5)
        assert found["confusion"].sum() == 12  # every validation image once
        assert found["confusion"].tolist() == end.metrics.confusion.tolist()
        assert np.allclose(found["logits"], end.logits, atol=1e-5)
        assert not found["synced"]
    a, b = (row["run"]["weights"] for row in two[0])
    assert a.keys() == end.network.state_dict().keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_one_process_writes(two):
    folder = two[1]
    assert (folder / "run0" / "results.csv").exists()
    assert checkpoint.found(folder / "run0" / "checkpoint")
    assert not (folder / "run1").exists()


def test_a_run_goes_on_with_another_number_of_processes(two, tmp_path):
    rows, folder = two
    whole = losses(fit(job_of(**rank_cases.RUN), tmp_path))
    for found in (row["resumed"] for row in rows):  # begun by one, ended by two
        assert found == pytest.approx(whole[5:], rel=1e-5)
    assert not (folder / "elsewhere").exists()
    # Begun by two, ended by one, longer.
    longer = job_of(**{**rank_cases.RUN, "epochs": 3})
    events = list(fit(longer, folder / "run0", resume=True))
    later = losses(events)
    assert len(later) == 6
    assert all(map(math.isfinite, later))
    notes = [e.text for e in events if isinstance(e, Note)]
    assert "2 epochs become 3" in notes[0]
    assert "processes were 2, are 1: the same steps but for rounding" in notes[1]
    changes = json.loads((folder / "run0" / "trace.json").read_text())["changes"]
    assert [row["name"] for row in changes] == ["plan", "processes"]


def test_a_loss_that_is_not_finite_in_one_process_stops_all(two):
    for words in (row["bad"] for row in two[0]):
        assert words.startswith("the loss became nan at step 1 ")


# ------------------------------------------------------------------------------------- refusals


def test_a_process_with_other_settings_or_data_is_refused(tmp_path):
    # The first process finds the other gone, so that the words come from the second.
    codes, _, _ = ended(started(["tests.train.rank_cases", str(tmp_path), "other"], 2))
    assert codes[1] == 0
    words = torch.load(tmp_path / "1.pt", weights_only=False)["other"]
    assert "would not train what rank 0 does" in words
    assert "--seed was 0, is 1" in words


def test_a_batch_smaller_than_the_processes_is_refused():
    from dataclasses import replace

    check_ranks(replace(job_of(batch_size=8), ranks=Ranks(count=7)))
    with pytest.raises(UsageError, match="a batch of 7 images cannot be shared by 8 processes"):
        check_ranks(replace(job_of(batch_size=8), ranks=Ranks(count=8)))
    with pytest.raises(UsageError, match="a batch of 3 images cannot be shared by 4"):
        check_ranks(replace(job_of(batch_size=4, accumulate=2), ranks=Ranks(count=4)))
    with pytest.raises(UsageError, match="--compile on is for one process"):
        check_ranks(replace(job_of(compile="on"), ranks=Ranks(count=2)))


# ------------------------------------------------------------------------------------ bad endings


def checkpoint_of(folder, processes):
    """Wait until the run has one."""
    for _ in range(600):
        if checkpoint.found(folder / "checkpoint"):
            return
        assert all(p.poll() is None for p in processes), ended(processes)
        time.sleep(0.1)
    raise AssertionError(ended(processes, timeout=1))


def test_all_end_when_one_is_killed(tmp_path):
    argv = ["pocketvision", *DIGITS, "--output", str(tmp_path), "--name", "run"]
    processes = started([*argv, "--rank-timeout", "20s"], 2)
    checkpoint_of(tmp_path / "run", processes)
    processes[1].kill()
    begin = time.monotonic()
    codes, _, errors = ended(processes)
    assert time.monotonic() - begin < 30  # the closed connection is noticed, not the time
    assert codes == [1, -signal.SIGKILL]
    (line,) = errors[0]
    assert line.startswith("error: the other processes are lost (")
    assert "the last good state is" in line


def test_all_stop_at_one_step_when_one_is_asked_to(tmp_path):
    argv = ["pocketvision", *DIGITS, "--output", str(tmp_path), "--name", "run"]
    processes = started(argv, 2)
    checkpoint_of(tmp_path / "run", processes)
    processes[1].terminate()
    codes, printed, errors = ended(processes)
    assert codes == [130, 130]
    (first,), (second,) = errors
    assert first.startswith("error: stopped at step ")
    assert second == first.replace("error: ", "error: rank 1 of 2: ")
    assert "--resume" in printed[0]
    assert printed[1] == ""


def test_a_process_that_cannot_connect_says_where(tmp_path):
    port = free_port()
    argv = ["pocketvision", *DIGITS, "--output", str(tmp_path), "--rank-timeout", "1s"]
    begin = time.monotonic()
    codes, _, errors = ended(started(argv, 2, only=[1], port=port))
    assert time.monotonic() - begin < 30
    assert codes == [1]
    (line,) = errors[0]
    assert line.startswith(
        f"error: rank 1 of 2: the 2 processes of this run did not meet at 127.0.0.1:{port} ("
    )
    assert list(tmp_path.iterdir()) == []


def test_the_first_process_names_who_did_not_come(tmp_path):
    place = Place(address="127.0.0.1", port=free_port())
    code = (
        "from pocketvision.train.join import *\n"
        f"with joined(Ranks(count=3, timeout_s=1), {place!r}): pass"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
                         env={**os.environ, "PYTHONPATH": str(ROOT / "src")})  # fmt: skip
    assert "(rank 1, 2 did not come)" in out.stderr
    assert joined.__doc__


# ------------------------------------------------------------------------------- the environment


def described(**given):
    from pocketvision.cli.ranks import described

    return described({k: str(v) for k, v in given.items()}, timeout_s=5.0)


def test_the_environment_of_torchrun_is_read():
    ranks, place = described(RANK=3, WORLD_SIZE=4, LOCAL_RANK=1, LOCAL_WORLD_SIZE=2,
                             MASTER_ADDR="host", MASTER_PORT=29500,
                             TORCHELASTIC_USE_AGENT_STORE="True")  # fmt: skip
    assert ranks == Ranks(rank=3, count=4, local=1, beside=2, timeout_s=5.0)
    assert place == Place(address="host", port=29500, hosted=True)


def test_an_environment_that_cannot_be_is_refused():
    whole = {"RANK": 0, "WORLD_SIZE": 2, "MASTER_ADDR": "host", "MASTER_PORT": 1}
    with pytest.raises(UsageError, match="WORLD_SIZE is set, RANK and MASTER_PORT is not; start"):
        described(WORLD_SIZE=2, MASTER_ADDR="host")
    with pytest.raises(UsageError, match="RANK must be from 0 to WORLD_SIZE - 1 = 1, got 2"):
        described(**{**whole, "RANK": 2})
    with pytest.raises(UsageError, match="WORLD_SIZE in the environment must be a whole number"):
        described(**{**whole, "WORLD_SIZE": "two"})
