import json
from dataclasses import replace
from pathlib import Path

import pytest

from pocketvision import bundle as bundles
from pocketvision.decision import Decision, at_threshold, dumps, loads
from pocketvision.errors import BundleError, DataError, UsageError

from .test_bundle import rewrite

MADE = Decision(
    temperature=1.5,
    score="energy",
    threshold=-0.25,
    known_share=0.95,
    images=40,
    figures={"ece": {"before": 0.1}},
)
FIRST = Path(__file__).parent / "facts" / "bundle_0.1"


def test_round_trip():
    assert loads(dumps({"label": MADE, "other": Decision()})) == {
        "label": MADE,
        "other": Decision(),
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0}, "temperature must be a number over 0, got 0"),
        ({"temperature": "1"}, "temperature must be a number"),
        ({"temperature": True}, "temperature must be a number"),
        ({"score": "margin"}, "a score is one of probability, energy, got 'margin'"),
        ({"threshold": "0.5"}, "a threshold must be a finite number"),
        ({"images": 1.5}, "'images' as a count"),
        ({"figures": []}, "'figures' as an object"),
        ({"more": 1}, "head 'label' must hold figures, images, known_share"),
    ],
)
def test_what_cannot_be_is_said(change, message):
    row = json.loads(dumps({"label": MADE}))
    row["heads"]["label"] |= change
    with pytest.raises(DataError, match=message):
        loads(json.dumps(row))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2, "heads": {}}', '{"format": 1}'])
def test_other_files_are_refused(text):
    with pytest.raises(DataError, match="decision"):
        loads(text)


def test_a_persons_threshold_is_a_probability():
    assert at_threshold(MADE, None) is MADE
    own = at_threshold(MADE, 0.7)
    assert (own.temperature, own.score, own.threshold) == (1.5, "probability", 0.7)
    assert at_threshold(MADE, 0).threshold is None
    assert at_threshold(None, 0.5) == Decision(threshold=0.5)
    assert at_threshold(None, None) is None
    with pytest.raises(UsageError, match=r"--threshold is a probability from 0 to 1 .*got 1\.5"):
        at_threshold(MADE, 1.5)


# ------------------------------------------------------------------------------------------ bundle


@pytest.fixture
def saved(tmp_path):
    whole = replace(bundles.load(FIRST), decision={"label": MADE})
    return bundles.save(whole, tmp_path / "b")


def test_it_travels_in_a_bundle_under_its_hash(saved):
    assert bundles.load(saved).decision == {"label": MADE}
    assert "decision.json" in json.loads((saved / "manifest.json").read_text())["files"]
    file = saved / "decision.json"
    file.write_text(file.read_text().replace("-0.25", "-0.35"))
    with pytest.raises(BundleError, match=r"decision\.json is not the file that was saved"):
        bundles.load(saved)
    file.unlink()
    with pytest.raises(BundleError, match=r"decision\.json is missing"):
        bundles.load(saved)


def test_a_bundle_without_one_stays_as_it_was(tmp_path):
    first = bundles.load(FIRST)
    assert first.decision == {}
    again = bundles.save(first, tmp_path / "b")
    assert {p.name for p in again.iterdir()} == {p.name for p in FIRST.iterdir()}


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff" * 64])
def test_hostile_contents_are_one_line(saved, data):
    rewrite(saved, "decision.json", data)
    with pytest.raises(BundleError, match=r"bundle .* is damaged: .*decision") as e:
        bundles.load(saved)
    assert "\n" not in str(e.value)


def test_a_decision_about_another_head_is_refused(saved, tmp_path):
    rewrite(saved, "decision.json", dumps({"colour": MADE}).encode())
    with pytest.raises(BundleError, match=r"'colour', which the network lacks \(heads: label\)"):
        bundles.load(saved)
    with pytest.raises(BundleError, match="'colour', which the network lacks"):
        bundles.save(replace(bundles.load(FIRST), decision={"colour": MADE}), tmp_path / "never")
    assert not (tmp_path / "never").exists()
