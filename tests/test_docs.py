"""The docs say what the code does: generated parts are fresh, commands parse, Python runs."""

import re
import runpy
import shlex
from pathlib import Path

import pytest

from pocketvision.cli.commands import ORDER
from pocketvision.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_generated_pages_are_fresh(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "recipes")
    made = runpy.run_path(str(ROOT / "recipes" / "write_docs.py"))["pages"]()
    for path, text in made.items():
        assert path.read_text() == text, f"{path.name} is stale: make docs"


def commands(text: str) -> list[str]:
    """The `pocketvision ...` lines of indented blocks, without their comments."""
    lines = re.findall(r"^    (pocketvision .+)$", text, re.MULTILINE)
    return [line.split(" #")[0].strip() for line in lines]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_in_the_docs_parse(page):
    for line in commands(page.read_text()):
        app().parse_args(shlex.split(line)[1:], exit_on_error=False, print_error=False)


def test_the_readme_shows_five_commands():
    assert len(commands((ROOT / "README.md").read_text())) == 5


def test_python_in_the_readme_runs():
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL):
        exec(compile(block, "README.md", "exec"), {})


def test_python_in_the_page_on_events_runs(tmp_path, monkeypatch):
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "events.md").read_text(), re.DOTALL
    )
    exec(compile(block, "events.md", "exec"), {})


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_verb_is_documented():
    text = (ROOT / "docs" / "cli.md").read_text()
    for verb in ORDER:
        assert f"## pocketvision {verb}" in text


def test_makefile_targets_in_the_docs_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"\bmake ([a-z][a-z-]+)", page.read_text()))
        assert named <= targets, f"{page.name} names {named - targets}"


def test_nothing_names_a_private_place():
    banned = re.compile(r"/work/|/root/|/home/")
    for path in [*PAGES, *ROOT.glob("recipes/*.py"), *ROOT.glob("src/**/*.py"), ROOT / "Makefile"]:
        assert not banned.search(path.read_text()), path
