"""Where each family was published."""

from __future__ import annotations

from pocketvision.zoo import MODELS

PAPERS: dict[str, str] = {
    "mobilenet_v1": "arXiv:1704.04861",
    "mobilenet_v2": "arXiv:1801.04381",
    "mobilenet_v3": "arXiv:1905.02244",
    "mobilenext": "arXiv:2007.02269",
    "rexnet": "arXiv:2007.00992",
    "mixnet": "arXiv:1907.09595",
}


def family(model: str) -> str:
    """The family of a model of the zoo: the file that holds it."""
    return MODELS[model].__module__.rpartition(".")[2]


def paper(model: str) -> str:
    """The arXiv number of the paper that a model comes from."""
    return PAPERS[family(model)]
