import json

import pytest
import torch

from pocketvision.errors import DataError, PocketvisionError
from pocketvision.train import checkpoint


def tensors(k):
    return {"a": torch.full((2, 3), float(k)), "n": torch.tensor(k)}


def saved(folder, *steps):
    return [checkpoint.save(folder, tensors(k), {"step": k, "loss": 0.1 * k}) for k in steps]


def test_the_newest_comes_back_exactly(tmp_path):
    saved(tmp_path, 5, 10)
    got = checkpoint.newest(tmp_path)
    assert got.facts["step"] == 10
    assert got.facts["loss"] == 0.1 * 10  # a float survives JSON bit for bit
    assert torch.equal(got.tensors["a"], torch.full((2, 3), 10.0))
    assert torch.equal(got.tensors["n"], torch.tensor(10))
    assert got.rejected == ()


def test_two_are_kept(tmp_path):
    saved(tmp_path, 1, 2, 30, 200)
    assert [p.name for p in checkpoint.found(tmp_path)] == ["step-00000030", "step-00000200"]
    assert not list(tmp_path.glob(".tmp*"))


@pytest.mark.parametrize("damage", ["cut", "flipped", "json", "gone", "format"])
def test_a_damaged_one_gives_way_to_the_one_before(tmp_path, damage):
    _, last = saved(tmp_path, 1, 2)
    data, facts = last / "state.safetensors", last / "state.json"
    raw = data.read_bytes()
    if damage == "cut":
        data.write_bytes(raw[:-3])
    elif damage == "flipped":
        data.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    elif damage == "json":
        facts.write_text(facts.read_text()[:40])
    elif damage == "gone":
        data.unlink()
    else:
        facts.write_text(json.dumps({**json.loads(facts.read_text()), "format": 9}))
    got = checkpoint.newest(tmp_path)
    assert got.facts["step"] == 1
    assert [path for path, _ in got.rejected] == [last]
    assert got.rejected[0][1]


def test_all_damaged_is_an_error_and_none_is_none(tmp_path):
    assert checkpoint.newest(tmp_path / "nowhere") is None
    for path in saved(tmp_path, 1, 2):
        (path / "state.safetensors").write_bytes(b"")
    with pytest.raises(DataError, match=r"no checkpoint in .* can be used .*start the run anew"):
        checkpoint.newest(tmp_path)


def test_a_broken_state_does_not_replace_a_good_one(tmp_path):
    saved(tmp_path, 1)
    with pytest.raises(PocketvisionError, match=r"step 2 is not finite \(w\).*before it is kept"):
        checkpoint.save(tmp_path, {"w": torch.tensor([1.0, float("nan")])}, {"step": 2})
    assert checkpoint.newest(tmp_path).facts["step"] == 1


def test_a_full_disk_keeps_what_is_there(tmp_path, monkeypatch):
    saved(tmp_path, 1)
    import errno
    import pathlib

    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pathlib.Path, "write_bytes", full)
    with pytest.raises(PocketvisionError, match="the disk is full"):
        checkpoint.save(tmp_path, tensors(2), {"step": 2})
    monkeypatch.undo()
    assert checkpoint.newest(tmp_path).facts["step"] == 1
    assert not list(tmp_path.glob(".tmp*"))


def test_tensors_in_any_memory_order_are_saved(tmp_path):
    t = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    checkpoint.save(tmp_path, {"t": t, "half": t[:, :1]}, {"step": 1})
    got = checkpoint.newest(tmp_path).tensors
    assert torch.equal(got["t"], t)
    assert torch.equal(got["half"], t[:, :1])
