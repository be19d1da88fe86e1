"""The parts of model.h and model.c that people read: names, labels, preparation of images."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from pocketvision.compiler.graph import Graph
from pocketvision.errors import DataError, UsageError
from pocketvision.labels import Labels
from pocketvision.preprocess import Preprocess, scale_and_bias

# What a name may not be: words of C and C++ that identifiers are made of.
RESERVED = frozenset((
    "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else",
    "enum", "extern", "float", "for", "goto", "if", "inline", "int", "long", "register",
    "restrict", "return", "short", "signed", "sizeof", "static", "struct", "switch", "typedef",
    "union", "unsigned", "void", "volatile", "while", "bool", "class", "new", "delete", "this",
    "template", "namespace", "using", "public", "private", "protected", "virtual", "operator",
    "try", "catch", "throw", "true", "false", "m", "main", "test",
))  # fmt: skip
RESIZES = {"squash": 0, "crop": 1, "letterbox": 2}
MAX_NAME = 40

MORE = """
/* Names of inputs and outputs as in the network's own file; null where there is none. */
const char *NAME_input_name(int input);
const char *NAME_output_name(int output);

/* The NAME_output_size(output) names that an output's numbers stand for, in UTF-8; null where
 * the network came without. */
const char *const *NAME_labels(int output);

/* 1 for a number that is never an answer, such as a background class. */
int NAME_hidden(int output, int index);

/* The weights inside the program: only where weights.S (or weights.c) is compiled too. */
extern const float NAME_weights[];
"""
PREPROCESS = """
/* Make input 0 from an image: `height` rows of `width` pixels, 3 bytes each: red, green, blue,
 * upright. As in training: PLACE,
 * resampled (KIND) to SIZE (height x width), scaled. */
int NAME_preprocess(const unsigned char *rgb, int height, int width, float *out);
"""
PLACES = {
    "crop": "the centre cut out",
    "squash": "the whole image",
    "letterbox": "the whole image, the rest filled",
}


@dataclass(frozen=True, kw_only=True)
class Contract:
    """How images become the first input, and what the outputs stand for, by their names."""

    preprocess: Preprocess
    labels: Mapping[str, Labels]


def checked_name(name: str) -> str:
    """`name`, if every symbol of the library can begin with it. Raises UsageError."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or len(name) > MAX_NAME:
        raise UsageError(
            f"--name must be a C identifier of at most {MAX_NAME} letters, digits and underscores "
            f"that begins with a letter, got {name!r}; try --name {name_of(name)}"
        )
    if name in RESERVED or keyword.iskeyword(name) or name.lower().startswith("pv"):
        raise UsageError(f"--name {name!r} means something else in C; try --name {name}_net")
    return name


def name_of(text: str) -> str:
    """A C identifier made of any text, such as a file's or a network's name."""
    kept = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:MAX_NAME].rstrip("_")
    if not kept or not kept[0].isalpha():
        kept = f"net_{kept}".rstrip("_")[:MAX_NAME]
    taken = kept in RESERVED or keyword.iskeyword(kept) or kept.startswith("pv")
    return f"net_{kept}"[:MAX_NAME] if taken else kept


def check_contract(graph: Graph, contract: Contract) -> None:
    """Raise DataError unless the graph's input and outputs are those that the contract means."""
    p, first = contract.preprocess, graph.inputs[0]
    wanted = (*p.size, p.channels)
    if first.shape != wanted or first.layout != "nchw":
        raise DataError(
            f"input {first.name!r} is {first.shape} (height, width, channels) in {first.layout} "
            f"order, but images are prepared as {wanted} in nchw order"
        )
    sizes = {o.name: int(np.prod(o.shape)) for o in graph.outputs}
    for head, labels in contract.labels.items():
        if sizes.get(head) != len(labels.names):
            raise DataError(
                f"there are {len(labels.names)} labels of {head!r} for {sizes.get(head)} numbers"
            )


def declarations(graph: Graph, contract: Contract | None) -> str:
    """What model.h says beyond the network itself; with the words NAME and UPPER."""
    if contract is None:
        return MORE
    p = contract.preprocess
    words = {
        "PLACE": PLACES[p.resize],
        "KIND": p.interpolation,
        "SIZE": f"{p.size[0]}x{p.size[1]}",
    }
    text = PREPROCESS
    for word, instead in words.items():
        text = text.replace(word, instead)
    return MORE + text


def definitions(graph: Graph, contract: Contract | None) -> str:
    """What model.c holds beyond the network itself."""
    labels = contract.labels if contract else {}
    parts = [
        "\n/* ---- names ---- */\n",
        _name_function("input", [i.name for i in graph.inputs]),
        _name_function("output", [o.name for o in graph.outputs]),
        _labels([labels.get(o.name) for o in graph.outputs]),
    ]
    if contract is not None:
        parts.append(preprocess(contract.preprocess))
    return "\n".join(parts)


def quoted(text: str) -> str:
    """A C string: bytes that are not plain ASCII in octal, so that no trigraph can arise."""
    plain = (chr(b) if chr(b).isalnum() or chr(b) in " .,;:!()[]<>{}+-*/=_&^%$#@~|'`" else "" for b
             in range(128))  # fmt: skip
    table = [*plain, *[""] * 128]
    return '"' + "".join(table[b] or f"\\{b:03o}" for b in text.encode()) + '"'


def _name_function(kind: str, names: Sequence[str]) -> str:
    rows = ", ".join(map(quoted, names))
    return f"""const char *PV_NAME({kind}_name)(int {kind}) {{
  static const char *const names[] = {{{rows}}};
  return {kind} < 0 || {kind} >= {len(names)} ? NULL : names[{kind}];
}}
"""


def _labels(rows: Sequence[Labels | None]) -> str:
    tables = [
        f"static const char *const pv_labels_{n}[] = {{\n"
        + "".join(f"  {quoted(name)},\n" for name in row.names)
        + "};\n"
        for n, row in enumerate(rows)
        if row is not None
    ]
    which = ", ".join("NULL" if row is None else f"pv_labels_{n}" for n, row in enumerate(rows))
    hidden = [(n, i) for n, row in enumerate(rows) if row for i in sorted(set(row.hidden))]
    tests = "".join(f"  if (output == {n} && index == {i}) return 1;\n" for n, i in hidden)
    return f"""{"".join(tables)}
const char *const *PV_NAME(labels)(int output) {{
  static const char *const *const labels[] = {{{which}}};
  return output < 0 || output >= {len(rows)} ? NULL : labels[output];
}}

int PV_NAME(hidden)(int output, int index) {{
  (void)output;
  (void)index;
{tests}  return 0;
}}
"""


def preprocess(p: Preprocess) -> str:
    """NAME_preprocess for a contract."""
    scale, bias = scale_and_bias(p)
    values = {
        "PV_PRE_H": p.size[0],
        "PV_PRE_W": p.size[1],
        "PV_PRE_C": p.channels,
        "PV_PRE_RESIZE": RESIZES[p.resize],
        "PV_PRE_FRACTION": repr(float(p.crop_fraction)),
        "PV_PRE_FILL": p.fill,
        "PV_PRE_SCALE": floats(scale),
        "PV_PRE_BIAS": floats(bias),
    }
    lines = [f"#define {key} {value}" for key, value in values.items()]
    kernel = p.interpolation != "nearest"
    parts = ["preprocess.c", f"resample_{p.interpolation}.c", *(["resample.c"] if kernel else []),
             "preprocess_run.c"]  # fmt: skip
    folder = files("pocketvision.compiler").joinpath("c")
    texts = [folder.joinpath(part).read_text(encoding="utf-8") for part in parts]
    return "\n".join([*lines, *texts])


def floats(values: np.ndarray) -> str:
    """A C list of floats that holds exactly these."""
    return "{" + ", ".join(f"{float(v)!r}f" for v in values) + "}"
