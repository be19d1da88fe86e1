"""Imports point down, and what must be light stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "pocketvision"

# From the top down; rooms on one step do not import each other.
STEPS = (
    ("cli", "recipes"),
    ("serve", "report"),
    ("bench.report",),
    ("export",),
    ("compiler",),
    ("train", "compress", "search"),
    ("tasks",),
    ("analysis", "data"),
    ("weights",),
    ("bundle",),
    ("preprocess", "labels", "decision"),
    ("bench.clock", "bench.host"),
    ("model",),
    ("nn", "zoo", "cost"),
    ("spec", "files"),
    ("errors",),
)
RANK = {room: len(STEPS) - i for i, step in enumerate(STEPS) for room in step}
# Rooms of several files beside each other.
PART_OF = {
    "decode": "preprocess",
    "jpeg": "preprocess",
    "quiet": "preprocess",
    "resize": "preprocess",
    "cost_steps": "cost",
    "cost_walk": "cost",
    "spec_blocks": "spec",
    "spec_branches": "spec",
    "spec_cell": "spec",
    "spec_json": "spec",
    "spec_layers": "spec",
    "spec_steps": "spec",
}
LIGHT = ("spec", "spec_json", "cost", "zoo", "errors")


def room_of(module: str) -> str:
    """The room of a dotted module below the package: bench is three rooms, the rest one each."""
    pieces = module.split(".")
    two = ".".join(pieces[:2])
    return two if two in RANK else PART_OF.get(pieces[0], pieces[0])


def imported_rooms(source: str) -> set[str]:
    """Rooms of pocketvision that `source` imports, wherever the import stands."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module in ("pocketvision", "pocketvision.bench"):
                names = [f"{node.module}.{a.name}" for a in node.names]
        elif isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        else:
            continue
        found |= {n.removeprefix("pocketvision.") for n in names if n.startswith("pocketvision.")}
    return {room_of(n) for n in found if not n.startswith("__")}


def wrong_imports(module: str, source: str) -> list[str]:
    """Imports in `module` that point up or sideways."""
    own = room_of(module)
    others = imported_rooms(source) - {own}
    top = module.split(".")[0]
    return sorted(
        r for r in others if RANK[r] >= RANK[own] and not (top == "bench" and r.startswith("bench"))
    )


def modules() -> list[tuple[str, Path]]:
    rows = []
    for path in sorted(SOURCE.rglob("*.py")):
        module = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        if not module.startswith("__"):
            rows.append((module.removesuffix(".__init__"), path))
    return rows


@pytest.mark.parametrize(
    ("module", "path"), modules(), ids=lambda v: v if isinstance(v, str) else ""
)
def test_imports_point_down(module, path):
    if module == "bench":  # the package itself is empty
        return
    assert room_of(module) in RANK, f"{module} is in no room of the design"
    assert wrong_imports(module, path.read_text()) == []


def test_the_rule_can_fail():
    assert wrong_imports("export.onnx", "from pocketvision.model import build") == []
    assert wrong_imports("zoo.rexnet", "from pocketvision.train.loop import fit") == ["train"]
    assert wrong_imports("train.loop", "from pocketvision.search import space") == ["search"]
    assert wrong_imports("cost", "def f():\n    import pocketvision.model") == ["model"]


def loads_torch(code: str) -> bool:
    out = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return out.stdout.strip().endswith("True")


@pytest.mark.parametrize("room", ["", *(f".{r}" for r in LIGHT)])
def test_light_rooms_load_no_torch(room):
    assert not loads_torch(f"import pocketvision{room}")


def test_the_torch_test_can_fail():
    assert loads_torch("import pocketvision.model")


def test_package_files_hold_at_most_a_dictionary():
    for path in SOURCE.glob("*/__init__.py"):
        nodes = ast.parse(path.read_text()).body
        kinds = {type(n) for n in nodes}
        allowed = {ast.Expr, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign}
        assert kinds <= allowed, f"{path} does more than hold its dictionary"
        assert sum(isinstance(n, ast.Assign | ast.AnnAssign) for n in nodes) <= 1, path


def test_there_is_no_drawer_for_odds_and_ends():
    names = {p.stem for p in SOURCE.rglob("*")}
    assert not names & {"utils", "util", "common", "helpers", "core", "misc"}
