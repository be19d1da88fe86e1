import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvision.errors import LabelError
from pocketvision.labels import Labels, dumps, loads


@given(st.lists(st.text(min_size=1), min_size=1, max_size=8, unique=True), st.data())
def test_labels_survive_the_disk(names, data):
    index = st.integers(0, len(names) - 1)
    labels = Labels(
        names=tuple(names),
        background=data.draw(st.none() | index),
        ignore=tuple(data.draw(st.lists(index, max_size=2))),
    )
    assert loads(dumps({"label": labels})) == {"label": labels}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not valid JSON"),
        ('{"format": 2, "heads": {}}', "format 1"),
        ('{"format": 1, "heads": {}, "x": 1}', "nothing else"),
        ('{"format": 1, "heads": {"label": {"names": []}}}', "must hold names, background"),
    ],
)
def test_damaged_labels_say_what(text, words):
    with pytest.raises(LabelError, match=words):
        loads(text)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"names": ()}, "no name"),
        ({"names": ("a", "b", "a")}, "a name twice: a"),
        ({"names": ("a", "b"), "background": 2}, "mark index 2 but there are 2 names"),
    ],
)
def test_labels_that_do_not_fit(fields, words):
    with pytest.raises(LabelError, match=words):
        Labels(**fields)


def test_hidden_outputs():
    assert Labels(names=("bg", "a", "void"), background=0, ignore=(2,)).hidden == (0, 2)
