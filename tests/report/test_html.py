"""The page: complete, safe whatever the files say, and alone in the world."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pocketvision.errors import DataError, PocketvisionError
from pocketvision.report import delivery, html, pictures
from pocketvision.report.evidence import surest_mistakes
from pocketvision.report.markup import Markup, join, tag
from pocketvision.report.run import read
from pocketvision.report.words import clean
from tests.report.runs import FLOWERS, write_run
from tests.report.test_run import FILES

VOID = {"meta", "br", "hr", "img", "col"}
NASTY = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</td></table></style><b>",
    "a & b &amp; c",
    "' onmouseover='x",
    "\u202egpj.cat\x00",
)


class Page(HTMLParser):
    """A page taken apart: elements with attributes, text, and whether all is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        assert len(attrs) == len(dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def text(self) -> str:
        return "".join(words for tag, words in self.texts if tag != "style")

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def written(folder: Path) -> Page:
    return Page(html.write(folder).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("finished") / "run", pictures=True)


@pytest.fixture
def folder(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_the_page_says_what_the_files_say(folder):
    run, text = read(folder), written(folder).text()
    low, high = run.summary["interval"]
    for expected in (
        f"{100 * run.number('accuracy'):.1f}%",
        f"95% interval {100 * low:.1f}% to {100 * high:.1f}%",
        "mobilenet_v3_small on flowers5",
        "1.52 M", "18.8 M", "6.14 MB", "9 min 41 s",
        "cut off after 3 kB", "augment.crop_scale", "A Processor @ 2.0 GHz",
        "onnxruntime", "3.10e-06", "99.7%", "Measured on A Processor @ 2.0 GHz.", "5.23", "61.0 MB",
        "1,522,981 parameters, 18,829,312 multiply-adds",
    ):  # fmt: skip
        assert expected in text
    assert all(name in text for name in FLOWERS)
    assert "resize" in text
    assert "spec.name" not in text


def test_a_mixed_runs_training_loss_is_explained(folder):
    assert "only the latter compares runs" not in written(folder).text()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "mixup": 0.2, "cutmix": 1.0}))
    assert "mixup and cutmix: the training loss is that of mixed" in written(folder).text()
    (folder / "config.json").write_text(json.dumps({**config, "distill": "kd+at"}))
    assert "distill kd+at: the training loss holds what was learned" in written(folder).text()


def test_the_page_stands_alone(folder):
    page = written(folder)
    names = {name for name, _ in page.elements}
    assert not names & {"script", "link", "iframe", "object", "embed", "base", "form"}
    for _, attributes in page.elements:
        assert not [key for key in attributes if key.startswith("on")]
        for key in ("src", "href"):
            assert attributes.get(key, "#").startswith(("#", "data:image/"))
    style = "".join(words for tag, words in page.texts if tag == "style")
    assert "url(" not in style
    assert "@import" not in style
    assert "http" not in "".join(a.get("src") or "" for _, a in page.elements)


def test_the_page_is_accessible(folder):
    page = written(folder)
    assert page.of("html")[0]["lang"] == "en"
    assert all(a["alt"] for a in page.of("img"))
    assert len(page.of("img")) == 24
    assert all(a.get("aria-label") or a.get("aria-hidden") for a in page.of("svg"))
    assert all(a.get("scope") for a in page.of("th"))
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids)) == len(page.of("section"))
    assert {a["href"] for a in page.of("a")} == {f"#{i}" for i in ids}
    assert [a for a in page.of("meta") if a.get("name") == "viewport"]
    assert len(page.of("h1")) == len(page.of("main")) == 1


def test_names_from_files_are_text(tmp_path):
    folder = write_run(tmp_path / "run", names=NASTY, per_class=6, share=0.3)
    page = written(folder)
    assert "script" not in {name for name, _ in page.elements}
    assert "b" not in {name for name, _ in page.elements}
    assert page.of("img") == []
    text = page.text()
    for name in NASTY:
        assert clean(name) in text
    assert "\u202e" not in text


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(max_size=60))
def test_any_text_comes_back_from_the_page_as_it_went_in(text):
    page = Page(tag("p", text, title=text, class_="x"))
    assert page.text() == clean(text).replace("\r", "\n") or "\r" in text
    assert page.of("p")[0]["title"] == clean(text)


def test_only_what_is_built_is_markup():
    assert join(["<b>", tag("b", "<i>")]) == "&lt;b&gt;<b>&lt;i&gt;</b>"
    assert tag("p", Markup("<i></i>"), class_="a", hidden=True, lang=None, aria_label="x") == (
        '<p class="a" hidden aria-label="x"><i></i></p>'
    )
    assert tag("line", x1=1.0, x2=2.346) == '<line x1="1" x2="2.35"/>'


@pytest.mark.parametrize("file", [f for f in FILES if f not in ("summary.json", "setup.json")])
def test_a_missing_file_is_a_plain_sentence(folder, file):
    (folder / file).unlink()
    page = written(folder)
    assert f"{file} is not in the folder, so " in page.text()


def test_an_interrupted_run_has_a_page(folder):
    for file in FILES:
        if file != "results.csv":
            (folder / file).unlink()
    text = written(folder).text()
    assert "The run has not come to its end" in text
    assert "best 7" in text
    assert "pocketvision" in text


def test_a_run_without_a_finished_epoch_has_a_page(folder):
    (folder / "results.csv").write_text("epoch,train_loss,val_loss,val_accuracy\n")
    assert "no finished epoch yet" in written(folder).text()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("accuracy", "high"), ("n", [1]), ("interval", [0.1]), ("interval", "x"), ("model", 3),
        ("counts", {"train": "many"}), ("classes", [1]), ("skipped", "a.jpg"), ("params", True),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named(folder, key, value):
    path = folder / "summary.json"
    row = json.loads(path.read_text())
    path.write_text(json.dumps({**row, key: value}))
    with pytest.raises(DataError, match=f"summary.json is damaged: '{key}' is not") as caught:
        html.write(folder)
    assert "\n" not in str(caught.value)


def test_a_page_that_cannot_be_made_leaves_the_old_one(folder):
    old = html.write(folder).read_text()
    (folder / "per_class.csv").write_text("broken")
    with pytest.raises(DataError):
        html.write(folder)
    assert (folder / "report.html").read_text() == old
    assert not list(folder.glob(".tmp*"))


def test_the_page_goes_where_it_is_told(folder, tmp_path):
    path = html.write(folder, output=tmp_path / "there" / "page.html")
    assert path == tmp_path / "there" / "page.html"
    assert not (folder / "report.html").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(PocketvisionError, match="cannot write"):
        html.write(folder, output=tmp_path / "file" / "page.html")


def test_writing_twice_gives_the_same_bytes(folder):
    assert html.write(folder).read_bytes() == html.write(folder).read_bytes()


@pytest.mark.parametrize(
    ("k", "style"), [(2, "wide lying"), (10, "medium"), (20, "narrow"), (40, "tiny")]
)
def test_a_matrix_of_any_size_holds_every_count(tmp_path, k, style):
    folder = write_run(tmp_path / "run", names=[f"class {i}" for i in range(k)], per_class=9)
    page, run = written(folder), read(folder)
    table = re.search(rf'<table class="heat {style}">.*?</table>', html.page(run, source=none))[0]
    cells = Page(table)
    numbers = [int(t) for kind, t in cells.texts if t.isdigit() and kind in ("td", "span")]
    assert numbers == [c for row in run.confusion.counts for c in row if c]
    assert len([a for a in cells.of("td") if "corner" not in (a.get("class") or "")]) == k * k
    assert page.of("table")


def none(path):
    return None


def test_a_thousand_classes_stay_a_page(tmp_path):
    names = [f"class {i}" for i in range(300)]
    text = html.write(write_run(tmp_path / "run", names=names, per_class=3)).read_text()
    assert "With 300 classes the matrix is too large" in text
    assert "The 200 weakest of 300" in text
    assert len(text) < 400_000


def test_images_that_are_gone_leave_their_names(folder):
    page = Page(html.page(read(folder), source=none))
    assert page.of("img") == []
    assert "only their names are shown" in page.text()


def test_without_mistakes_the_page_says_so(tmp_path):
    page = written(write_run(tmp_path / "run", share=9.0))
    assert "None: all 200 validation images are right." in page.text()
    assert "No image was mistaken for another class." in page.text()


def test_the_surest_mistake_comes_first(folder):
    found = surest_mistakes(read(folder).predictions)
    assert [p.probability for p in found] == sorted((p.probability for p in found), reverse=True)
    assert not any(p.correct for p in found)
    assert pictures.from_files()(found[0].path).dtype == "uint8"


def test_the_next_commands_exist(folder):
    from pocketvision.cli.commands import ORDER

    lines = delivery.commands(folder)
    assert all(words[0] == "pocketvision" and words[1] in ORDER for words in lines)
    block = "\n".join(" ".join(words) for words in lines)
    assert block in written(folder).text()


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 2**53), st.floats(), st.floats(), st.floats(0, 1)), max_size=5
    )
)
def test_any_figures_make_a_page(folder, rows):
    lines = [",".join(map(repr, row)) for row in rows]
    head = "epoch,train_loss,val_loss,val_accuracy"
    (folder / "results.csv").write_text("\n".join([head, *lines]) + "\n")
    text = html.page(read(folder), source=none)
    charts = "".join(re.findall(r'<svg class="chart".*?</svg>', text))
    assert "NaN" not in charts
    for x, y in re.findall(r'(?:cx|[\s"])="?([-\d.]+)"? cy="([-\d.]+)"', charts):
        assert 0 <= float(x) <= 400
        assert 0 <= float(y) <= 250


def test_a_page_needs_neither_torch_nor_matplotlib(folder):
    code = (
        "import sys; from pathlib import Path; from pocketvision.report import html, plots\n"
        "html.write(Path(sys.argv[1]))\n"
        "print([m for m in ('torch', 'matplotlib') if m in sys.modules])"
    )
    call = [sys.executable, "-c", code, str(folder)]
    out = subprocess.run(call, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
