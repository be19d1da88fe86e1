"""Two run folders beside each other, made by hand: what differs is what was put there."""

import json

import pytest

from pocketvision.cli.compare import losses_in_words, names_of, verdict
from pocketvision.cli.main import run as command
from pocketvision.errors import DataError
from pocketvision.report.compare import compared, in_short

TRACE = {
    "--lr": 0.01, "--seed": 0, "--mixup": None, "classes": ["ant", "bee"],
    "training images": "a" * 64, "validation images": "b" * 64, "torch": "2.12",
    "plan": {"steps": 4, "peak_lr": 0.01, "first_hw": [32, 32]},
}  # fmt: skip
CONTEXT = {"--workers": None, "cpu": {"model": "one"}, "packages": {"numpy": "2.0"}}
RIGHT = (True, True, False, True, False, True, True, False)


def made(folder, *, trace=TRACE, context=CONTEXT, losses=(2.0, 1.5, 1.0, 0.5), right=RIGHT,
         names=None, changes=(), **summary):  # fmt: skip
    """A run folder with these figures."""
    folder.mkdir(parents=True)
    hashes = {"trace": json.dumps([trace, changes]), "context": json.dumps(context)}
    row = {"format": 1, "hashes": hashes, "trace": trace, "context": context, "changes": changes}
    (folder / "trace.json").write_text(json.dumps(row))
    (folder / "config.json").write_text("{}")
    lines = [f"{k},1,{loss!r},0.01" for k, loss in enumerate(losses, 1)]
    (folder / "losses.csv").write_text("\n".join(["step,epoch,loss,lr", *lines]) + "\n")
    (folder / "results.csv").write_text("epoch,train_loss,val_loss,val_accuracy\n")
    names = names or [f"val/{i}.png" for i in range(len(right))]
    rows = [f"{name},ant,{'ant' if r else 'bee'},0.9,{r}"
            for name, r in zip(names, right, strict=True)]  # fmt: skip
    text = "\n".join(["path,label,predicted,probability,correct", *rows]) + "\n"
    (folder / "predictions.csv").write_text(text)
    figures = {"n": len(right), "accuracy": sum(right) / len(right), "seconds": 10.0}
    (folder / "summary.json").write_text(json.dumps({**figures, **summary}))
    (folder / "setup.json").write_text(json.dumps({"data": "photos"}))
    return folder


def listed(found, *parts):
    return [(d.name, d.a, d.b) for d in found.of(*parts)]


def test_a_run_and_its_copy_are_one(tmp_path):
    found = compared(made(tmp_path / "a"), made(tmp_path / "b"))
    assert found.differences == ()
    assert found.losses.parting is None
    assert (found.losses.common, found.losses.largest) == (4, 0.0)
    assert found.accuracy.difference == 0
    assert verdict(found, ("a", "b")) == (
        "one trace: the same run\nboth are equally accurate, on the same 8 images"
    )


def test_every_kind_of_difference_is_listed_in_its_part(tmp_path):
    other = {**TRACE, "--lr": 0.02, "classes": ["ant", "wasp"], "training images": "c" * 64,
             "plan": {"steps": 4, "peak_lr": 0.02, "first_hw": [32, 32]}}  # fmt: skip
    machine = {**CONTEXT, "cpu": {"model": "two"}}
    found = compared(made(tmp_path / "a"), made(tmp_path / "b", trace=other, context=machine))
    assert listed(found, "trace") == [("--lr", 0.01, 0.02)]
    assert listed(found, "plan") == [("peak_lr", 0.01, 0.02)]
    assert listed(found, "data") == [
        ("classes of one run alone", ["bee"], ["wasp"]),
        ("training images", "a" * 64, "c" * 64),
    ]
    assert listed(found, "context") == [("cpu.model", "one", "two")]
    assert "two runs: what decides the losses differs" in verdict(found, ("a", "b"))


def test_classes_in_another_order_are_said_so(tmp_path):
    other = {**TRACE, "classes": ["bee", "ant"]}
    found = compared(made(tmp_path / "a"), made(tmp_path / "b", trace=other))
    assert listed(found, "data") == [("order of classes", ["ant", "bee"], ["bee", "ant"])]


def test_changes_on_the_way_are_a_difference(tmp_path):
    change = {"step": 3, "name": "--lr", "words": "--lr was 1, is 2", "exact": False}
    found = compared(made(tmp_path / "a"), made(tmp_path / "b", changes=[change]))
    assert listed(found, "change") == [("changed on the way", [], ["step 3: --lr was 1, is 2"])]


def test_a_setting_that_an_older_run_did_not_know_has_its_default(tmp_path):
    older = {k: v for k, v in TRACE.items() if k not in ("--mixup", "torch")}
    other = {**TRACE, "--cutmix": 0.5}
    found = compared(made(tmp_path / "a", trace=older), made(tmp_path / "b", trace=other))
    assert listed(found, "trace") == [("--cutmix", None, 0.5)]


def test_where_losses_part_to_the_last_bit(tmp_path):
    near = (2.0, 1.5, 1.0000000000000002, 0.25, 0.1)
    a, b = made(tmp_path / "a"), made(tmp_path / "b", losses=near)
    found = compared(a, b).losses
    assert (found.steps_a, found.steps_b, found.common) == (4, 5, 4)
    assert (found.parting, found.a, found.b, found.largest) == (3, 1.0, near[2], 0.25)
    assert losses_in_words(found, ("a", "b")) == (
        "they part at step 3 (a 1.0, b 1.0000000000000002), by up to 0.25 in 4 steps "
        "(4 and 5 steps)"
    )
    assert "round otherwise" in verdict(compared(a, b), ("a", "b"))


def test_runs_without_losses_and_without_common_steps(tmp_path):
    a, b, c = (made(tmp_path / name) for name in "abc")
    (b / "losses.csv").unlink()
    assert compared(a, b).losses is None
    (c / "losses.csv").write_text("step,epoch,loss,lr\n9,2,0.1,0.1\n")
    assert "no step in common (4 and 1 steps)" in losses_in_words(compared(a, c).losses, ("a", "c"))


def test_accuracy_on_the_same_images_is_paired(tmp_path):
    better = (True,) * 8
    found = compared(made(tmp_path / "a"), made(tmp_path / "b", right=better)).accuracy
    assert (found.paired, found.n, found.only_a, found.only_b) == (True, 8, 0, 3)
    assert found.difference == 3 / 8
    assert found.p == pytest.approx(2 / 8)  # three of three: 2 (1/2)^3
    assert found.low < found.difference < found.high


def test_accuracy_on_other_images_is_not(tmp_path):
    names = [f"other/{i}.png" for i in range(8)]
    other = made(tmp_path / "b", right=(True,) * 8, names=names)
    found = compared(made(tmp_path / "a"), other).accuracy
    assert (found.paired, found.only_a) == (False, None)
    # 5/8 against 8/8: common 13/16, sqrt(13/16 3/16 2/8) = 0.19516, z = 1.9215.
    assert found.p == pytest.approx(0.05467, abs=1e-4)


def test_the_trace_of_older_runs_is_in_the_manifest_or_the_checkpoint(tmp_path):
    a, b, c = (made(tmp_path / name) for name in "abc")
    for folder, place in ((b, "bundle/manifest.json"), (c, "checkpoint/step-00000004/state.json")):
        (folder / "trace.json").unlink()
        file = folder / place
        file.parent.mkdir(parents=True)
        trace = {**TRACE, "--seed": 5, "plan": "f" * 64}
        file.write_text(json.dumps({"trace": trace, "plan": TRACE["plan"], "sha256": ""}))
        found = compared(a, folder)
        assert listed(found, "trace", "plan", "data", "context") == [("--seed", 0, 5)]
        assert "older version" in verdict(found, ("a", folder.name))


def test_what_is_no_run_is_said_with_the_nearest(tmp_path):
    a = made(tmp_path / "flowers-2")
    with pytest.raises(DataError, match=rf"no run at .*flower-2; did you mean {a}\?"):
        compared(a, tmp_path / "flower-2")
    with pytest.raises(DataError, match=r"no run at .*; give the folder of a run, such as runs"):
        compared(tmp_path / "nowhere" / "x", a)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty is not the folder of a run"):
        compared(a, tmp_path / "empty")
    (a / "trace.json").write_text('{"trace": {}, "changes": 3}')
    with pytest.raises(DataError, match=r"trace\.json is damaged: its trace, context or changes"):
        compared(a, a)
    (a / "trace.json").write_text("{}")
    (a / "losses.csv").write_text("step,epoch,loss,lr\n1,1,x,0\n")
    with pytest.raises(DataError, match=r"losses\.csv is damaged: row 2, column 'loss': 'x'"):
        compared(a, a)


def test_values_in_short():
    assert in_short("0123456789abcdef" * 4) == "0123456789ab"
    assert in_short([]) == "none"
    assert in_short(None) == "left out"
    assert in_short([0.1, "x"]) == "0.1, x"


# ------------------------------------------------------------------------------------- the command


def test_the_command_says_it_in_words_and_in_json(tmp_path, capsys):
    other = {**TRACE, "--lr": 0.02}
    a = made(tmp_path / "a")
    b = made(tmp_path / "b", trace=other, losses=(2.0, 1.0), right=(True,) * 8)
    assert command(["compare", str(a), str(b)]) == 0
    out = capsys.readouterr().out
    assert "--lr                0.01  0.02" in out
    assert (
        "losses: they part at step 2 (a 1.5, b 1.0), by up to 0.5 in 2 steps (4 and 2 steps)" in out
    )
    assert "accuracy of b is 37.50 points higher (95% interval " in out
    assert "on the same 8 images; exact McNemar test: p = 0.25): chance alone may explain it" in out
    assert out.rstrip().endswith(f"next: pocketvision export {b}/bundle --data photos")
    assert command(["compare", str(a), str(b / "bundle"), "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["differences"] == [{"part": "trace", "name": "--lr", "a": 0.01, "b": 0.02}]
    assert row["losses"]["parting"] == 2
    assert row["accuracy"]["only_b"] == 3
    assert {f["name"]: f["difference"] for f in row["figures"]} == {"accuracy": 0.375, "seconds": 0}


def test_an_unfinished_run_is_to_be_finished_next(tmp_path, capsys):
    a, b = made(tmp_path / "a"), made(tmp_path / "b")
    for name in ("summary.json", "predictions.csv"):
        (b / name).unlink()
    assert command(["compare", str(a), str(b)]) == 0
    out = capsys.readouterr().out
    assert "accuracies cannot be compared: a run has not come to its end" in out
    assert out.rstrip().endswith(f"next: pocketvision train photos --resume {b}")


def test_runs_of_one_name_are_called_by_their_paths(tmp_path):
    found = compared(made(tmp_path / "a" / "x"), made(tmp_path / "b" / "x"))
    assert names_of(found) == (f"{tmp_path}/a/x", f"{tmp_path}/b/x")


def test_a_typing_error_is_one_line(tmp_path, capsys):
    made(tmp_path / "photos")
    assert command(["compare", str(tmp_path / "photos"), str(tmp_path / "photo")]) == 3
    assert "did you mean" in capsys.readouterr().err
