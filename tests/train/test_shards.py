"""Runs on shards: equal to the bit wherever the shards lie and however few of them are at hand."""

import http.server
import json
import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from pocketvision.data import shard_files
from pocketvision.data.cache import Cache
from pocketvision.data.read import read
from pocketvision.data.shard_write import write_shards
from pocketvision.data.shards import opened
from pocketvision.errors import DataError, Interrupted, UsageError
from pocketvision.preprocess import Preprocess
from pocketvision.train.batches import indices_of
from pocketvision.train.config import TrainConfig
from pocketvision.train.events import Note, Saved
from pocketvision.train.run import train_run
from pocketvision.weights import download
from tests.data.made import folder
from tests.train.tiny import SIZE, job_of, losses, small_spec

CONFIG = TrainConfig(epochs=3, batch_size=8, lr=0.02, threads=1, workers=1)
CONTRACT = Preprocess(size=(SIZE, SIZE), crop_fraction=0.9)
COUNTS = {"train/a": 17, "train/b": 12, "train/c": 11, "val/a": 3, "val/b": 3, "val/c": 3}
SHARD = 6  # images


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    root = folder(tmp_path_factory.mktemp("photos"), COUNTS)
    out = tmp_path_factory.mktemp("out")
    write_shards(read(root), out, shard_bytes=10**6, most_images=SHARD, workers=1)
    return out


@pytest.fixture(scope="module")
def whole(out, tmp_path_factory):
    """Losses and bundle of a run that nothing disturbs."""
    place = tmp_path_factory.mktemp("whole")
    events = []
    result = run(place / "run", out, Cache(folder=place / "cache"), on_event=events.append)
    return losses(events), (result.bundle / "weights.safetensors").read_bytes()


def run(place, source, cache, *, config=CONFIG, **more):
    data = read(str(source))
    return train_run(data, small_spec(), config, CONTRACT, place, cache=cache, **more)


def outcome(place, source, cache, **more):
    events = []
    result = run(place, source, cache, on_event=events.append, **more)
    return losses(events), (result.bundle / "weights.safetensors").read_bytes()


# -------------------------------------------------------------------------------------------- HTTP


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_args):
        pass

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path in self.server.refused:
            self.send_error(503)
            return
        if self.path.startswith("/there/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/there"))
            self.end_headers()
            return
        super().do_GET()


@pytest.fixture
def server(out, monkeypatch):
    monkeypatch.setattr(download, "PAUSES_S", (0.0,) * 5)
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(out)))
    made.daemon_threads, made.asked, made.refused = True, [], set()
    thread = threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def address(server, path="/shards.json"):
    return f"http://127.0.0.1:{server.server_address[1]}{path}"


# -------------------------------------------------------------------------------------------- runs


@pytest.mark.parametrize("slots", [1, 3, 5])
def test_how_many_shards_are_at_hand_changes_nothing(out, whole, tmp_path, slots):
    room = slots * SHARD * SIZE * SIZE * 3 + 10
    small = Cache(folder=tmp_path / "cache", max_bytes=max(room, 20_000))
    small = replace(small, max_bytes=room)
    # The validation images, whose files are larger, are there already.
    shard_files.with_files(read(str(out)), "val", cache=replace(small, max_bytes=10**7))
    assert outcome(tmp_path / "run", out, small) == whole


def test_shards_behind_an_address_change_nothing(out, whole, server, tmp_path):
    cache = Cache(folder=tmp_path / "cache")
    assert outcome(tmp_path / "run", address(server), cache) == whole
    assert sorted(server.asked) == sorted(
        ["/shards.json", *(f"/{s.name}" for s in opened(str(out)).shards)]
    )
    assert list((cache.folder / "downloads").iterdir()) == []
    server.asked.clear()
    assert outcome(tmp_path / "again", address(server, "/there"), cache) == whole
    assert server.asked == ["/there/shards.json", "/shards.json"]  # the rest is in the cache


def test_an_interrupted_run_ends_like_the_whole_one(out, whole, tmp_path):
    cache, cut = Cache(folder=tmp_path / "cache"), []
    with pytest.raises(Interrupted):
        run(tmp_path / "run", out, cache, on_event=cut.append,
            should_stop=lambda: len(losses(cut)) >= 7)  # fmt: skip
    rest, weights = outcome(tmp_path / "run", out, Cache(folder=tmp_path / "other"), resume=True)
    assert (losses(cut) + rest, weights) == whole


def test_a_network_that_goes_away_costs_no_step(out, whole, server, tmp_path):
    """The run is saved, says so, and goes on to the same end once the server is back."""
    first = indices_of(0, job_with(out)) // SHARD
    late = next(f"/train-{i:05d}.tar" for i in range(7) if i not in first)
    server.refused.add(late)
    events, cache = [], Cache(folder=tmp_path / "cache")
    with pytest.raises(DataError, match=r"cannot download .*answers 503.*--resume goes on"):
        run(tmp_path / "run", address(server), cache, on_event=events.append)
    assert server.asked.count(late) >= download.ATTEMPTS
    server.refused.clear()
    rest, weights = outcome(tmp_path / "run", address(server), cache, resume=True)
    assert len(rest) < len(whole[0])
    assert (losses(events) + rest, weights) == whole


def job_with(out):
    job = job_of()
    parts = opened(str(out)).of("train")
    sizes = tuple(map(len, parts))
    n = sum(sizes)
    truth = np.concatenate([p.labels for p in parts]).astype(np.int64)
    images = replace(job.train, pixels=np.zeros((n, 1, 1, 3), np.uint8), truth=truth, groups=sizes)
    return replace(job, train=images, plan=replace(job.plan, per_epoch=5))


def test_an_epoch_holds_every_image_once(out):
    job = job_with(out)
    for epoch in range(3):
        seen = np.concatenate([indices_of(5 * epoch + i, job) for i in range(5)])
        assert sorted(seen.tolist()) == list(range(40))


def test_other_shards_are_another_run(out, tmp_path):
    root = folder(tmp_path / "photos", COUNTS, start=900)
    write_shards(read(root), tmp_path / "other", shard_bytes=10**6, most_images=SHARD, workers=1)
    cache, events = Cache(folder=tmp_path / "cache"), []
    with pytest.raises(Interrupted):
        run(tmp_path / "run", out, cache, on_event=events.append,
            should_stop=lambda: len(losses(events)) >= 2)  # fmt: skip
    with pytest.raises(UsageError, match="the training images changed"):
        run(tmp_path / "run", tmp_path / "other", cache, resume=True)


def test_what_is_at_hand_is_said(out, tmp_path):
    events = []
    run(tmp_path / "run", out, Cache(folder=tmp_path / "cache"), on_event=events.append)
    said = [e.text for e in events if isinstance(e, Note)]
    assert "training images come from 7 shards, up to 7 of them at hand" in said
    assert any(isinstance(e, Saved) for e in events)
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["counts"] == {"train": 40, "val": 9}
    assert (tmp_path / "run/predictions.csv").read_text().count("val/0000000") == 9


def test_without_a_cache_it_is_said(out, tmp_path):
    with pytest.raises(DataError, match="which need a cache"):
        run(tmp_path / "run", out, None)


# ------------------------------------------------------------------------------------ wrong answers


def test_a_server_that_sends_something_else_is_not_believed(out, server, tmp_path, monkeypatch):
    cache = Cache(folder=tmp_path / "cache")
    made = opened(address(server))
    shard = made.of("train")[0]

    def change(**fields):
        other = type(shard)(**{**{k: getattr(shard, k) for k in shard.__slots__}, **fields})
        return list(shard_files.members(made, other, cache))

    with pytest.raises(DataError, match="its sha256 is another one"):
        change(sha256="0" * 64)
    with pytest.raises(DataError, match="more than"):  # not one byte beyond the index is taken
        change(size_bytes=shard.size_bytes - 512)
    with pytest.raises(DataError, match="the index says"):
        change(size_bytes=shard.size_bytes + 512)
    assert [p.name for p in (cache.folder / "downloads").glob("*.tar")] == []
    monkeypatch.setattr(shard_files, "PATIENCE_S", -1e9)
    with pytest.raises(DataError, match="comes too slowly"):
        list(shard_files.members(made, shard, cache))


def test_an_index_that_is_not_there_or_too_large(server, monkeypatch):
    with pytest.raises(DataError, match="the server answers 404"):
        read(address(server, "/nothing/shards.json"))
    monkeypatch.setattr("pocketvision.data.shards.MAX_INDEX_BYTES", 100)
    with pytest.raises(DataError, match="more than 100: not taken"):
        read(address(server))
    monkeypatch.undo()
    with pytest.raises(DataError, match="is no index of shards: it is not JSON"):
        read(address(server, "/train-00000.tar?x=.json"))
