"""Every test run keeps its prepared images to itself, never in the home folder."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("POCKETVISION_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()
