import re
from pathlib import Path

import pytest

import pocketvision


def test_every_public_name_is_there():
    assert len(pocketvision.__all__) <= 20
    assert sorted(pocketvision.__all__) == sorted(pocketvision._HOMES)
    for name in pocketvision.__all__:
        value = getattr(pocketvision, name)
        assert (value.__doc__ or "").strip(), f"{name} has no docstring"
    assert set(pocketvision.__all__) <= set(dir(pocketvision))


def test_type_checkers_see_the_same_names():
    source = Path(pocketvision.__file__).read_text()
    block = source.split("if TYPE_CHECKING:")[1].split("__version__")[0]
    assert set(re.findall(r" as (\w+)$", block, re.MULTILINE)) == set(pocketvision.__all__)


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'buidl'"):
        pocketvision.buidl  # noqa: B018
