"""From a name and options to a spec: the zoo's own names first, then those of other libraries."""

from __future__ import annotations

from typing import Any

from pocketvision.errors import UnknownName, UsageError, closest
from pocketvision.spec import NetSpec
from pocketvision.zoo import MODELS
from pocketvision.zoo.aliases import ALIASES


def resolve(name: str, **options: Any) -> NetSpec:
    """The spec of a model or alias ("mobilenet_v2", "timm/mobilenetv2_100") with options.

    Raises UnknownName for a name or option that nobody knows, suggesting the nearest; UsageError
    for an option that an alias fixes; SpecError for a value that cannot be.
    """
    model, fixed = target(name)
    known = options_of(model)
    for option, value in options.items():
        if option not in known:
            raise UnknownName(
                f"{model} has no option {option!r}{closest(option, known)} "
                f"(options: {', '.join(known)})"
            )
        if option in fixed and fixed[option] != value:
            raise UsageError(
                f"{name} means {option}={fixed[option]!r}, so {option}={value!r} contradicts it; "
                f"use the model itself: {model}"
            )
    return MODELS[model](**{**fixed, **options})


def target(name: str) -> tuple[str, dict[str, Any]]:
    """(model of the zoo, options that the name fixes). Raises UnknownName."""
    if name in MODELS:
        return name, {}
    if name in ALIASES:
        return ALIASES[name]
    raise UnknownName(
        f"no model called {name!r}{_nearest(name)} "
        f"({len(MODELS)} models, {len(ALIASES)} aliases: run `pocketvision list --aliases`)"
    )


def options_of(model: str) -> dict[str, Any]:
    """The options of a model of the zoo with their defaults, in order."""
    return dict(MODELS[model].__kwdefaults__ or {})


def _nearest(name: str) -> str:
    """What may have been meant: first the names that go on where `name` stops ("mobilenet_v3")."""
    known = [*MODELS, *ALIASES]
    longer = [k for k in known if name and k.lower().startswith(name.lower())]
    if longer:
        return f"; did you mean {' or '.join(repr(k) for k in longer[:3])}?"
    return closest(name, known)
