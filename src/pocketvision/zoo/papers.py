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
    "mobilenet_v4": "arXiv:2404.10518",
    "mnasnet": "arXiv:1807.11626",
    "efficientnet": "arXiv:1905.11946",
    "ghostnet": "arXiv:1911.11907",
    "hbonet": "arXiv:1908.03888",
    "squeezenet": "arXiv:1602.07360",
    "shufflenet_v1": "arXiv:1707.01083",
    "shufflenet_v2": "arXiv:1807.11164",
    "xception": "arXiv:1610.02357",
    "nasnet": "arXiv:1707.07012",
    "darts": "arXiv:1806.09055",
    "resnet": "arXiv:1512.03385",
}


def family(model: str) -> str:
    """The family of a model of the zoo: the file that holds it."""
    return MODELS[model].__module__.rpartition(".")[2]


def paper(model: str) -> str:
    """The arXiv number of the paper that a model comes from."""
    return PAPERS[family(model)]
