"""Public weights: where they lie, under which licence, what they score, how their images are fed.

A hash stands here only where it is known: in full from files that were at hand or from a project
that pins it, in part from the names that torchvision and timm give their files (the first eight
digits of the sha256), as md5 from Keras' own table. Accuracies are the publishers', top-1 on
ImageNet's 50000 validation images in percent, and left out where none was found for that very file.

Sources: torchvision `models/mobilenetv2.py`, `mobilenetv3.py`; timm 1.0 `models/efficientnet.py`,
`mobilenetv3.py`, `rexnet.py` and its results tables; Keras applications `mobilenet.py`,
`mobilenet_v2.py`, `mobilenet_v3.py`; the repositories google-coral/test_data and mlcommons/tiny;
google-ai-edge/mediapipe `external_files.bzl`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from pocketvision.errors import UnknownName, closest


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file. `sha256` is whole or its first digits; `model` is a name of the zoo's table.

    `url` None: the file is known by its hash, but no lasting address of it. `scaling`: a name of
    found.SCALINGS; None for quantized files, which say it themselves.
    """

    name: str
    url: str | None
    model: str | None
    licence: str
    scaling: str | None
    resolution: tuple[int, int] = (224, 224)
    top1: float | None = None
    sha256: str | None = None
    md5: str | None = None
    labels: tuple[str, ...] | None = None
    bgr: bool = False

    @property
    def file(self) -> str:
        """The file's name."""
        return PurePosixPath(urlsplit(self.url).path).name if self.url else f"{self.name}.onnx"

    @property
    def hashed(self) -> str:
        """How much of a hash is known, in words."""
        if self.sha256 is not None:
            return "sha256" if len(self.sha256) == 64 else f"sha256, first {len(self.sha256)}"
        return "md5" if self.md5 is not None else "none"


def _timm(name: str, model: str, **more: object) -> Source:
    """A file of timm's on the Hugging Face hub."""
    url = f"https://huggingface.co/timm/{name}/resolve/main/model.safetensors"
    fields = {"licence": "Apache-2.0", "scaling": "imagenet", **more}
    return Source(name=f"timm/{name}", url=url, model=f"timm/{model}", **fields)  # type: ignore[arg-type]


def _timm_release(file: str, model: str, **more: object) -> Source:
    """A file of timm's older releases, whose name ends in the first digits of its sha256."""
    base = "https://github.com/huggingface/pytorch-image-models/releases/download/"
    folder = "v0.1-rexnet/" if file.startswith("rexnet") else "v0.1-weights/"
    stem, digits = file.removesuffix(".pth").rsplit("-", 1)
    fields = {"licence": "Apache-2.0", "scaling": "imagenet", "sha256": digits, **more}
    return Source(
        name=f"timm-release/{stem}", url=base + folder + file, model=f"timm/{model}", **fields  # type: ignore[arg-type]
    )  # fmt: skip


def _torchvision(file: str, model: str, recipe: str, top1: float, digits: str) -> Source:
    return Source(
        name=f"torchvision/{model}.{recipe}",
        url=f"https://download.pytorch.org/models/{file}",
        model=f"torchvision/{model}",
        licence="BSD-3-Clause",
        scaling="imagenet",
        top1=top1,
        sha256=digits,
    )


KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/"


def _keras_v1(width: str, top1: float) -> Source:
    # Keras writes 0.75 as 7_5.
    digits = {"1.0": "1_0", "0.75": "7_5", "0.50": "5_0", "0.25": "2_5"}[width]
    file = f"mobilenet_{digits}_224_tf.h5"
    return Source(
        name=f"keras/mobilenet_{width}_224", url=f"{KERAS}mobilenet/{file}",
        model="keras/MobileNet", licence="Apache-2.0", scaling="-1..1", top1=top1,
    )  # fmt: skip


def _keras_v2(width: str, top1: float) -> Source:
    file = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{width}_224.h5"
    return Source(
        name=f"keras/mobilenet_v2_{width}_224", url=f"{KERAS}mobilenet_v2/{file}",
        model="keras/MobileNetV2", licence="Apache-2.0", scaling="-1..1", top1=top1,
    )  # fmt: skip


def _keras_v3(name: str, top1: float, md5: str) -> Source:
    size = "Large" if name.startswith("large") else "Small"
    return Source(
        name=f"keras/mobilenet_v3_{name}",
        url=f"{KERAS}mobilenet_v3/weights_mobilenet_v3_{name}.h5",
        model=f"keras/MobileNetV3{size}", licence="Apache-2.0", scaling="-1..1", top1=top1, md5=md5,
    )  # fmt: skip


CORAL = "https://raw.githubusercontent.com/google-coral/test_data/master/"


def _coral(file: str, model: str | None, side: int, sha256: str) -> Source:
    return Source(
        name=f"coral/{file.removesuffix('.tflite')}", url=CORAL + file, model=model,
        licence="Apache-2.0", scaling=None, resolution=(side, side), sha256=sha256,
    )  # fmt: skip


ROWS: tuple[Source, ...] = (
    _torchvision("mobilenet_v2-b0353104.pth", "mobilenet_v2", "imagenet1k_v1", 71.878, "b0353104"),
    _torchvision("mobilenet_v2-7ebf99e0.pth", "mobilenet_v2", "imagenet1k_v2", 72.154, "7ebf99e0"),
    _torchvision("mobilenet_v3_large-8738ca79.pth", "mobilenet_v3_large", "imagenet1k_v1", 74.042,
                 "8738ca79"),
    _torchvision("mobilenet_v3_large-5c1a4163.pth", "mobilenet_v3_large", "imagenet1k_v2", 75.274,
                 "5c1a4163"),
    _torchvision("mobilenet_v3_small-047dcff4.pth", "mobilenet_v3_small", "imagenet1k_v1", 67.668,
                 "047dcff4addef86ea5bc2eff13c9614dc11f47ab1160d0a71a25e7db994f4e1f"),
    _timm("mobilenetv1_100.ra4_e3600_r224_in1k", "mobilenetv1_100", scaling="-1..1"),
    _timm("mobilenetv1_100h.ra4_e3600_r224_in1k", "mobilenetv1_100h", scaling="-1..1"),
    _timm("mobilenetv1_125.ra4_e3600_r224_in1k", "mobilenetv1_125", scaling="-1..1"),
    _timm("mobilenetv2_050.lamb_in1k", "mobilenetv2_050"),
    _timm("mobilenetv2_100.ra_in1k", "mobilenetv2_100"),
    _timm("mobilenetv2_110d.ra_in1k", "mobilenetv2_110d"),
    _timm("mobilenetv2_120d.ra_in1k", "mobilenetv2_120d"),
    _timm("mobilenetv2_140.ra_in1k", "mobilenetv2_140"),
    _timm("mobilenetv3_large_100.ra_in1k", "mobilenetv3_large_100", top1=75.77),
    _timm("mobilenetv3_small_050.lamb_in1k", "mobilenetv3_small_050"),
    _timm("mobilenetv3_small_075.lamb_in1k", "mobilenetv3_small_075"),
    _timm("mobilenetv3_small_100.lamb_in1k", "mobilenetv3_small_100"),
    _timm("tf_mobilenetv3_large_075.in1k", "tf_mobilenetv3_large_075", scaling="-1..1"),
    _timm("tf_mobilenetv3_large_100.in1k", "tf_mobilenetv3_large_100", scaling="-1..1"),
    _timm("tf_mobilenetv3_large_minimal_100.in1k", "tf_mobilenetv3_large_minimal_100",
          scaling="-1..1"),
    _timm("tf_mobilenetv3_small_075.in1k", "tf_mobilenetv3_small_075", scaling="-1..1"),
    _timm("tf_mobilenetv3_small_100.in1k", "tf_mobilenetv3_small_100", scaling="-1..1"),
    _timm("tf_mobilenetv3_small_minimal_100.in1k", "tf_mobilenetv3_small_minimal_100",
          scaling="-1..1"),
    _timm("mixnet_s.ft_in1k", "mixnet_s", top1=75.99),
    _timm("mixnet_m.ft_in1k", "mixnet_m"),
    _timm("mixnet_l.ft_in1k", "mixnet_l"),
    _timm("mixnet_xl.ra_in1k", "mixnet_xl"),
    _timm("rexnet_100.nav_in1k", "rexnet_100", top1=77.86, licence="MIT"),
    _timm("rexnet_130.nav_in1k", "rexnet_130", licence="MIT"),
    _timm("rexnet_150.nav_in1k", "rexnet_150", licence="MIT"),
    _timm("rexnet_200.nav_in1k", "rexnet_200", licence="MIT"),
    _timm("rexnet_300.nav_in1k", "rexnet_300", licence="MIT"),
    _timm_release("mobilenetv2_050-3d30d450.pth", "mobilenetv2_050"),
    _timm_release("mobilenetv2_100_ra-b33bc2c4.pth", "mobilenetv2_100"),
    _timm_release("mobilenetv2_110d_ra-77090ade.pth", "mobilenetv2_110d"),
    _timm_release("mobilenetv2_120d_ra-5987e2ed.pth", "mobilenetv2_120d"),
    _timm_release("mobilenetv3_large_100_ra-f55367f5.pth", "mobilenetv3_large_100", top1=75.77),
    _timm_release("mobilenetv3_small_050_lambc-4b7bbe87.pth", "mobilenetv3_small_050"),
    _timm_release("mobilenetv3_small_075_lambc-384766db.pth", "mobilenetv3_small_075"),
    _timm_release("mobilenetv3_small_100_lamb-266a294c.pth", "mobilenetv3_small_100"),
    _timm_release("tf_mobilenetv3_large_075-150ee8b0.pth", "tf_mobilenetv3_large_075",
                  scaling="-1..1"),
    _timm_release("tf_mobilenetv3_large_100-427764d5.pth", "tf_mobilenetv3_large_100",
                  scaling="-1..1"),
    _timm_release("tf_mobilenetv3_large_minimal_100-8596ae28.pth",
                  "tf_mobilenetv3_large_minimal_100", scaling="-1..1"),
    _timm_release("tf_mobilenetv3_small_075-da427f52.pth", "tf_mobilenetv3_small_075",
                  scaling="-1..1"),
    _timm_release("tf_mobilenetv3_small_100-37f49e2b.pth", "tf_mobilenetv3_small_100",
                  scaling="-1..1"),
    _timm_release("tf_mobilenetv3_small_minimal_100-922a7843.pth",
                  "tf_mobilenetv3_small_minimal_100", scaling="-1..1"),
    _timm_release("mixnet_s-a907afbc.pth", "mixnet_s", top1=75.99),
    _timm_release("mixnet_m-4647fc68.pth", "mixnet_m"),
    _timm_release("mixnet_l-5a9a2ed8.pth", "mixnet_l"),
    _timm_release("mixnet_xl_ra-aac3c00c.pth", "mixnet_xl"),
    _timm_release("rexnetv1_100-1b4dddf4.pth", "rexnet_100", top1=77.86, licence="MIT"),
    _timm_release("rexnetv1_130-590d768e.pth", "rexnet_130", licence="MIT"),
    _timm_release("rexnetv1_150-bd1a6aa8.pth", "rexnet_150", licence="MIT"),
    _timm_release("rexnetv1_200-8c0b7f2d.pth", "rexnet_200", licence="MIT"),
    _keras_v1("1.0", 70.6),
    _keras_v1("0.75", 68.4),
    _keras_v1("0.50", 63.7),
    _keras_v1("0.25", 50.6),
    _keras_v2("0.35", 60.3),
    _keras_v2("0.5", 65.4),
    _keras_v2("0.75", 69.8),
    _keras_v2("1.0", 71.8),
    _keras_v2("1.3", 74.4),
    _keras_v2("1.4", 75.0),
    _keras_v3("large_224_1.0_float", 75.6, "59e551e166be033d707958cf9e29a6a7"),
    _keras_v3("large_224_0.75_float", 73.3, "765b44a33ad4005b3ac83185abf1d0eb"),
    _keras_v3("large_minimalistic_224_1.0_float", 72.3, "675e7b876c45c57e9e63e6d90a36599c"),
    _keras_v3("small_224_1.0_float", 68.1, "8768d4c2e7dee89b9d02b2d03d65d862"),
    _keras_v3("small_224_0.75_float", 65.4, "cb65d4e5be93758266aa0a7f2c6708b7"),
    _keras_v3("small_minimalistic_224_1.0_float", 61.9, "99cd97fb2fcdad2bf028eb838de69e37"),
    _coral("mobilenet_v1_0.25_128_quant.tflite", "mobilenet_v1", 128,
           "cb273c23ee76374b05b9583177e28aa19744858a7679c56a250e83d0333da785"),
    _coral("mobilenet_v1_0.5_160_quant.tflite", "mobilenet_v1", 160,
           "3cc6d2ca460abd2e0f699a6d0d2550c6b61c6e3b0e27a3616e384ea74cb86f43"),
    _coral("mobilenet_v2_1.0_224_quant.tflite", "mobilenet_v2", 224,
           "7aad0c74c5e3c06e5eb3c827e13304fdd68a83da6087d92ee169c24ff9fd4776"),
    _coral("deeplabv3_mnv2_pascal_quant.tflite", None, 513,
           "350af47fd346ea6d74b58833a351f583ba860e9806ec5bd292ff8d8f1f249398"),
    _coral("deeplabv3_mnv2_dm05_pascal_quant.tflite", None, 513,
           "0470d2a782aa54eeeb99d32e7b6b3fb7722905c7c4f5d26bd957ec861366d48b"),
    Source(
        name="mediapipe/coco_ssd_mobilenet_v1_1.0_quant",
        url="https://storage.googleapis.com/mediapipe-assets/"
        "coco_ssd_mobilenet_v1_1.0_quant_2018_06_29_no_metadata.tflite",
        model=None, licence="Apache-2.0", scaling=None, resolution=(300, 300),
        sha256="e4b118e5e4531945de2e659742c7c590f7536f8d0ed26d135abcfe83b4779d13",
    ),
    Source(
        name="mlperf-tiny/vww_96_float",
        url="https://raw.githubusercontent.com/mlcommons/tiny/v1.4/benchmark/training/"
        "visual_wake_words/trained_models/vww_96_float.tflite",
        model=None, licence="Apache-2.0", scaling="0..1", resolution=(96, 96),
        sha256="115bbc094d2119561320a21f01b6500a18bea8cc8589282ab007097bec8af38c",
        labels=("non_person", "person"),
    ),
    Source(
        name="paddleocr/ch_ppocr_mobile_v2.0_cls", url=None, model=None, licence="Apache-2.0",
        scaling="-1..1", resolution=(48, 192), labels=("0", "180"), bgr=True,
        sha256="6f88d1d5e88641731decb63473891578c3929a93253fd0dee4bbcead9cb6d72f",
    ),
    Source(
        name="imagenet_mobilenet_v1_0.25_224.h5", url=None, model="keras/MobileNet",
        licence="Apache-2.0", scaling="-1..1",
        sha256="dc1ff623e6cd99c3cc0dd2821ca0807ba013606af5a4e2afd4488fbf26a8b589",
    ),
)  # fmt: skip

SOURCES: dict[str, Source] = {row.name: row for row in ROWS}


def source(name: str) -> Source:
    """The row of the table called `name`. Raises UnknownName."""
    if name not in SOURCES:
        raise UnknownName(
            f"no public weights called {name!r}{closest(name, SOURCES)} "
            f"({len(SOURCES)} known: run `pocketvision weights list`)"
        )
    return SOURCES[name]


def by_sha256(digest: str) -> Source | None:
    """The row whose whole hash this is."""
    return next((row for row in ROWS if row.sha256 == digest), None)
