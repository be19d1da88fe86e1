"""Downloads from a server that cuts connections, cheats and changes its mind. No network needed."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pocketvision.errors import UnknownName, WeightsError
from pocketvision.weights import download, fetch
from pocketvision.weights.fetch import HashMismatch, Places
from pocketvision.weights.sources import ROWS, SOURCES, Source, by_sha256, source

BODY = bytes(range(256)) * 1200  # 307200 bytes
SHA256 = hashlib.sha256(BODY).hexdigest()
MD5 = hashlib.md5(BODY, usedforsecurity=False).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves BODY; `plan` holds, for each request in turn, how it misbehaves."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan, self.seen, self.body, self.tag = [], [], BODY, '"v1"'

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/net.bin"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_args):
        pass

    def do_GET(self):
        server = self.server
        way = server.plan.pop(0) if server.plan else "good"
        wanted = self.headers.get("Range")
        server.seen.append((way, wanted, self.headers.get("If-Range")))
        if isinstance(way, int):
            self.send_error(way)
            return
        body, start, status = server.body, 0, 200
        same = self.headers.get("If-Range") == server.tag
        if wanted and same and way != "no ranges":
            start, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
        if start >= len(body):
            self.send_error(416)
            return
        part = body[start:]
        if way == "wrong":
            part = part[:-1] + bytes([part[-1] ^ 1])
        self.send_response(status)
        promised = len(part) * 5_000_000 if way == "bomb" else len(part)
        if way != "no length":
            self.send_header("Content-Length", str(promised))
        self.send_header("ETag", "W/" + server.tag if way == "weak" else server.tag)
        self.end_headers()
        self.wfile.write(part[: len(part) // 3] if way in ("cut", "weak") else part)


@pytest.fixture
def server():
    made = Server()
    thread = threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(download, "PAUSES_S", (0.0,) * 5)


def row(url, **more):
    fields = {"sha256": SHA256, **more}
    return Source(name="test/net", url=url, model=None, licence="MIT", scaling=None, **fields)


def places(tmp_path, **more):
    return Places(cache=tmp_path / "cache", **more)


def left(tmp_path):
    return sorted(p.name for p in (tmp_path / "cache").rglob("*") if p.is_file())


def test_a_whole_file_is_kept_and_not_asked_for_again(tmp_path, server):
    steps = []
    got = fetch.pull(row(server.url), places(tmp_path), on_progress=lambda *a: steps.append(a))
    assert got.path.read_bytes() == BODY
    assert (got.where, got.sha256, got.checked) == ("network", SHA256, "sha256")
    assert steps[-1] == (len(BODY), len(BODY))
    again = fetch.pull(row(server.url), places(tmp_path))
    assert (again.where, again.path, len(server.seen)) == ("cache", got.path, 1)
    assert left(tmp_path) == ["net.bin", "net.bin.json"]


def test_cut_connections_go_on_where_they_stopped(tmp_path, server):
    server.plan = ["cut", "cut", 503, "cut"]
    got = fetch.pull(row(server.url), places(tmp_path))
    assert got.path.read_bytes() == BODY
    starts = [wanted for _, wanted, _ in server.seen]
    assert starts[0] is None
    # A third came each time: of the whole, of the rest, and so on.
    third = len(BODY) // 3
    rest = third + (len(BODY) - third) // 3
    assert starts[1:4] == [f"bytes={third}-", f"bytes={rest}-", f"bytes={rest}-"]


def test_a_server_without_ranges_starts_over(tmp_path, server):
    server.plan = ["cut", "no ranges"]
    assert fetch.pull(row(server.url), places(tmp_path)).path.read_bytes() == BODY


def test_a_weak_tag_or_another_version_is_never_continued(tmp_path, server):
    server.plan = ["weak"]
    assert fetch.pull(row(server.url), places(tmp_path)).path.read_bytes() == BODY
    assert server.seen[1][1] is None
    other = tmp_path / "other"
    server.plan = ["cut"] * 6
    with pytest.raises(WeightsError, match=r"the connection was cut|IncompleteRead"):
        fetch.pull(row(server.url), places(other))
    server.tag, server.plan = '"v2"', []
    assert fetch.pull(row(server.url), places(other)).path.read_bytes() == BODY
    assert server.seen[-1][2] == '"v1"'  # asked for the old one, got the new one whole


def test_always_cut_gives_up_and_keeps_the_part(tmp_path, server):
    server.plan = ["cut"] * 6
    with pytest.raises(WeightsError, match="6 times; the part so far stays, repeat to go on"):
        fetch.pull(row(server.url), places(tmp_path))
    assert len(server.seen) == 6
    assert "net.bin" not in left(tmp_path)
    assert "net.bin.part" in left(tmp_path)
    assert fetch.pull(row(server.url), places(tmp_path)).path.read_bytes() == BODY
    assert server.seen[-1][1] is not None


@pytest.mark.parametrize(
    "known", [{"sha256": SHA256}, {"sha256": SHA256[:8]}, {"sha256": None, "md5": MD5}]
)
def test_wrong_bytes_are_not_kept(tmp_path, server, known):
    server.plan = ["wrong"]
    with pytest.raises(HashMismatch, match="is not test/net: its hash is"):
        fetch.pull(row(server.url, **known), places(tmp_path))
    assert left(tmp_path) == []
    assert fetch.pull(row(server.url, **known), places(tmp_path)).path.read_bytes() == BODY


def test_a_cut_without_a_promised_length_shows_in_the_hash(tmp_path, server):
    server.body, server.plan = BODY[:1000], ["no length"]
    with pytest.raises(HashMismatch):
        fetch.pull(row(server.url), places(tmp_path))
    assert left(tmp_path) == []


def test_promises_beyond_measure_are_not_taken(tmp_path, server):
    server.plan = ["bomb"]
    with pytest.raises(WeightsError, match="more than 2147483648: not taken"):
        fetch.pull(row(server.url), places(tmp_path))
    assert len(server.seen) == 1


def test_not_found_is_final(tmp_path, server):
    server.plan = [404]
    with pytest.raises(WeightsError, match="the server answers 404"):
        fetch.pull(row(server.url), places(tmp_path))
    assert len(server.seen) == 1


def test_a_server_that_is_not_there(tmp_path):
    with pytest.raises(WeightsError, match=r"cannot download http://127.0.0.1:9/net.bin"):
        fetch.pull(row("http://127.0.0.1:9/net.bin"), places(tmp_path))
    with pytest.raises(WeightsError, match="only http and https"):
        fetch.pull(row("file:///etc/passwd"), places(tmp_path))


def test_without_a_hash_only_when_said_and_then_kept(tmp_path, server):
    unknown = row(server.url, sha256=None)
    with pytest.raises(WeightsError, match=r"no hash of test/net is known.*--unverified"):
        fetch.pull(unknown, places(tmp_path))
    assert server.seen == []
    got = fetch.pull(unknown, places(tmp_path), unverified=True)
    assert got.checked == "nothing"
    assert fetch.find(unknown, places(tmp_path)).checked == "the hash of the first download"
    got.path.write_bytes(BODY[:-1] + b"x")  # changed afterwards
    with pytest.raises(HashMismatch):
        fetch.find(unknown, places(tmp_path))


def test_offline_says_what_is_missing_and_where_it_was_looked_for(tmp_path, server):
    where = places(tmp_path, mirror=tmp_path / "mirror", offline="HF_HUB_OFFLINE is set")
    with pytest.raises(WeightsError) as e:
        fetch.pull(row(server.url), where)
    for words in ("HF_HUB_OFFLINE is set", str(tmp_path / "mirror"), "net.bin", server.url):
        assert words in str(e.value)
    assert server.seen == []


def test_the_mirror_comes_before_the_network(tmp_path, server):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    where = places(tmp_path, mirror=mirror, offline="--offline")
    (mirror / "net.bin").write_bytes(BODY[:-1] + b"x")  # another file of that name is passed over
    with pytest.raises(WeightsError, match="network is off"):
        fetch.pull(row(server.url), where)
    (mirror / "test--net").mkdir()
    (mirror / "test--net" / "net.bin").write_bytes(BODY)
    got = fetch.pull(row(server.url), where)
    assert (got.where, got.path.parent.name) == ("mirror", "test--net")
    assert server.seen == []


def test_the_hub_of_hugging_face_is_looked_into(tmp_path):
    hub = tmp_path / "hf" / "hub"
    snapshot = hub / "models--timm--net" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(BODY)
    wanted = row("https://huggingface.co/timm/net/resolve/main/model.safetensors")
    got = fetch.pull(wanted, places(tmp_path, hub=hub, offline="yes"))
    assert got.where == "Hugging Face's cache"
    assert got.path == snapshot / "model.safetensors"


# ---------------------------------------------------------------------------------------- the table


def test_rows_are_sound():
    from pocketvision.weights.found import SCALINGS
    from pocketvision.zoo.lookup import target

    assert len(SOURCES) == len(ROWS) > 60
    for r in ROWS:
        assert r.url is None or r.url.startswith("https://")
        assert r.url is not None or r.sha256 is not None
        assert r.scaling is None or r.scaling in SCALINGS
        assert r.sha256 is None or set(r.sha256) <= set("0123456789abcdef")
        assert len(r.sha256 or "") in (0, 8, 64)
        assert len(r.md5 or "") in (0, 32)
        assert r.top1 is None or 50 < r.top1 < 80
        if r.model is not None:
            target(r.model)  # a name that the zoo knows
    with pytest.raises(UnknownName, match=r"did you mean 'timm/mobilenetv2_100.ra_in1k'"):
        source("timm/mobilenetv2_100.ra_in1")
    assert by_sha256(SHA256) is None


def test_digits_in_names_are_those_of_the_table():
    """torchvision and timm put the first digits of the hash into the name."""
    for r in ROWS:
        if r.name.startswith(("torchvision/", "timm-release/")):
            assert str(r.sha256)[:8] in r.file
