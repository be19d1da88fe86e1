"""Every error pocketvision raises on purpose. The command line prints one as one line, with its
code.

PocketvisionError                 1  something failed
├── UsageError                    2  the call itself is wrong
│   ├── SpecError                    a network description that cannot exist
│   ├── UnknownName                  a name nobody knows (model, runtime, key); suggests the nearest
│   └── OutputExists                 would overwrite something; needs --overwrite
├── DataError                     3  the user's data are not what they should be
│   ├── ImageError                   one image file cannot be read; carries path and reason
│   ├── LabelError                   labels and classes do not fit together
│   └── BundleError                  a bundle or artifact is damaged or foreign
├── GateError                     4  a promised figure was not reached
│   └── ParityError                  an exported file does not answer like the original
├── ProcessLost                   1  another process of the run is gone
├── MissingRuntime                5  an optional package is needed; names the pip line
└── Interrupted                 130  stopped by the user after saving
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class PocketvisionError(Exception):
    """Root of everything pocketvision raises on purpose; printed without a traceback."""

    exit_code: ClassVar[int] = 1


class UsageError(PocketvisionError):
    """The call itself is wrong: an option, a value, a combination."""

    exit_code = 2


class SpecError(UsageError, ValueError):
    """A network description that cannot exist, named by the field that is wrong."""


class UnknownName(UsageError, KeyError):
    """A name that no table holds."""

    __str__ = Exception.__str__  # KeyError would show the message in quotes


class OutputExists(UsageError, FileExistsError):
    """The output is there already and nobody said that it may go."""

    __str__ = Exception.__str__


class DataError(PocketvisionError):
    """The user's data are not what they should be."""

    exit_code = 3


class ImageError(DataError):
    """One image that cannot be read: `path` names it, `reason` says why in a few words."""

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"cannot read image {path}: {reason}")
        self.path, self.reason = str(path), reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        # Worker processes send these; the default would pass the joined message as `path`.
        return type(self), (self.path, self.reason)


class LabelError(DataError):
    """Labels and classes do not fit together; the message holds the difference."""


class BundleError(DataError):
    """A bundle or artifact that is damaged, incomplete or of an unknown format."""


class WeightsError(DataError):
    """Weights from elsewhere that do not fit the network; the message goes tensor by tensor."""


class GateError(PocketvisionError):
    """A figure that was promised (accuracy, latency, parity) was not reached."""

    exit_code = 4


class ParityError(GateError):
    """An exported file does not answer like the network it was made from."""


class ProcessLost(PocketvisionError):
    """Another process that trains the same network is gone, or cannot be reached."""


class MissingRuntime(PocketvisionError, ImportError):
    """An optional package is not installed; the message holds the exact pip line."""

    exit_code = 5

    @classmethod
    def of(cls, package: str, extra: str) -> MissingRuntime:
        """The error for `package`, which comes with the extra `extra`."""
        return cls(f"{package} is not installed: pip install 'pocketvision[{extra}]'")


class Interrupted(PocketvisionError):
    """Stopped by the user (Ctrl-C, SIGTERM) after the work so far was saved."""

    exit_code = 130


def closest(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the nearest of `known`, or an empty string."""
    hit = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {hit[0]!r}?" if hit else ""
