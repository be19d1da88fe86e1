"""The verbs that need no torch: list, show, analyze, doctor, help, and what a typo gets."""

import json
import subprocess
import sys

import pytest

from pocketvision.cli.commands import COMMANDS, GROUPS, ORDER
from pocketvision.cli.main import overview, run


def answer(capsys, *argv):
    """(exit code, stdout, stderr) of the command."""
    code = run(list(argv))
    got = capsys.readouterr()
    return code, got.out, got.err


def test_show_prints_published_counts(capsys):
    code, out, err = answer(
        capsys, "show", "mobilenet_v2", "--width", "0.75", "--resolution", "192", "--json"
    )
    row = json.loads(out)
    # Counted on torchvision's mobilenet_v2(width_mult=0.75) at 192; TF-slim's README prints 153M.
    assert code == 0
    assert (row["params"], row["macs"]) == (2_636_424, 153_941_888)
    assert "next: pocketvision train digits" in err


def test_show_by_a_library_name_and_size(capsys):
    code, out, _ = answer(
        capsys, "show", "mobilenetv3_large_100", "--resolution", "192x160", "--json"
    )
    row = json.loads(out)
    assert code == 0
    assert row["params"] == 5_483_032
    assert row["resolution"] == [192, 160]


def test_show_spec_is_the_spec(capsys):
    from pocketvision.spec_json import loads
    from pocketvision.zoo.lookup import resolve

    code, out, _ = answer(capsys, "show", "mixnet_s", "--classes", "7", "--spec")
    assert code == 0
    assert loads(out) == resolve("mixnet_s", classes=7)


def test_show_reads_a_spec_file(capsys, tmp_path):
    file = tmp_path / "spec.json"
    file.write_text(answer(capsys, "show", "rexnet", "--spec")[1])
    assert (
        answer(capsys, "show", str(file), "--json")[1]
        == answer(capsys, "show", "rexnet", "--json")[1]
    )
    code, _, err = answer(capsys, "show", str(file), "--width", "0.5")
    assert code == 2
    assert "--width cannot change a saved network" in err


def test_list_holds_every_model(capsys):
    from pocketvision.zoo import MODELS

    code, out, _ = answer(capsys, "list", "--json")
    assert code == 0
    assert [r["name"] for r in json.loads(out)] == list(MODELS)
    code, out, _ = answer(capsys, "list", "v3", "--aliases")
    assert "mobilenetv3_large_100" in out
    assert "mobilenet_v1 " not in out


def test_analyze_gives_the_papers_worked_example(capsys):
    # MobileNetV1's table 3, in millions; table 2's shares of MACs.
    code, out, _ = answer(capsys, "analyze", "mobilenet_v1", "--json")
    row = json.loads(out)
    assert code == 0
    assert [round(r["macs"] / 1e6, 1) for r in row["example"]["rows"]] == [462.4, 52.3, 29.6, 15.1]
    shares = {r["name"]: round(r["macs_percent"], 2) for r in row["distribution"]}
    assert shares["convolution 1x1"] == 94.86
    assert shares["convolution depthwise"] == 3.06


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["shwo"], 2, 'Did you mean "show"?'),
        (["show", "mobilnet_v2"], 2, "did you mean 'mobilenet_v2'?"),
        (["show", "mobilenet_v2", "--widht", "1"], 2, "Did you mean --width?"),
        (["show", "mobilenet_v2", "--width", "wide"], 2, "--width"),
        (["show", "mobilenet_v2", "--minimalistic"], 2, "no option 'minimalistic'"),
        (["show", "mobilenet_v2", "--resolution", "8"], 2, "from 32"),
        (["show", "mobilenet_v2", "--numerics", "pytorch"], 2, "did you mean 'torch'?"),
        (["show"], 2, "requires"),
        (["list", "resnext"], 2, "did you mean"),
        (["analyze", "mobilenet_v1", "--alpha", "2"], 2, "alpha must be above 0"),
    ],
)
def test_a_wrong_call_is_one_line(capsys, argv, code, words):
    got, out, err = answer(capsys, *argv)
    assert got == code
    assert words in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert out == ""


def test_doctor(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POCKETVISION_CACHE", str(tmp_path / "cache"))
    code, out, _ = answer(capsys, "doctor", "--json")
    row = json.loads(out)
    assert code == 0
    assert row["ok"]
    assert row["folders"] == {"cache": "writable", "runs": "writable"}
    assert list(tmp_path.iterdir()) == []


def test_overview_names_every_verb_with_its_help():
    verbs = {*COMMANDS, *(f"{g} {n}" for g, (_, table) in GROUPS.items() for n in table)}
    assert set(ORDER) == verbs
    text = overview()
    for verb in verbs:
        assert f"\n  {verb}" in text
    functions = [*COMMANDS.values(), *(f for _, table in GROUPS.values() for f in table.values())]
    assert all((f.__doc__ or "").strip() for f in functions)


@pytest.mark.parametrize(
    "argv", [["--help"], ["list"], ["show", "mobilenet_v2"], ["show", "--help"]]
)
def test_light_verbs_load_no_torch(argv):
    code = (
        "import sys\n"
        "from pocketvision.cli.main import run\n"
        f"code = run({argv!r})\n"
        "heavy = {'torch', 'numpy', 'onnx', 'onnxruntime', 'openvino'} & set(sys.modules)\n"
        "sys.exit(code or len(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_closed_pipe_is_no_error():
    done = subprocess.run(
        f"{sys.executable} -m pocketvision show mobilenet_v2 --layers --json | head -1",
        shell=True,
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr
    assert "error" not in done.stderr
