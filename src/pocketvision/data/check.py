"""Look at a dataset once: what cannot be read, what is there twice, what leaks between splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from pocketvision.bench.host import usable_cores
from pocketvision.data.dataset import Dataset, Sample
from pocketvision.data.fingerprint import near_groups
from pocketvision.data.inspection import MEMORY_BYTES, TIMEOUT_S, Finding, inspect

MAX_IMBALANCE = 10.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where an image stands: its name, split and class."""

    name: str
    split: str
    label: str


@dataclass(frozen=True, slots=True)
class Bad:
    """An image that cannot be read, and why."""

    place: Place
    reason: str


@dataclass(frozen=True, slots=True)
class Group:
    """Images that are the same: byte for byte ("exact"), or to the eye ("near")."""

    kind: str
    places: tuple[Place, ...]

    @property
    def leak(self) -> bool:
        """Some are trained on and others measured with."""
        return len({p.split for p in self.places}) > 1

    @property
    def conflict(self) -> bool:
        """They do not agree on the class."""
        return len({p.label for p in self.places}) > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What was found. `counts` is by split and class; `sizes` are the smallest and the largest
    readable image, (h, w).
    """

    name: str
    layout: str
    counts: dict[str, dict[str, int]]
    sizes: tuple[tuple[int, int], tuple[int, int]] | None
    bad: tuple[Bad, ...]
    groups: tuple[Group, ...]

    @property
    def images(self) -> int:
        """How many images there are, the bad ones included."""
        return sum(sum(row.values()) for row in self.counts.values())

    @property
    def leaks(self) -> tuple[Group, ...]:
        """Groups that stand in more than one split."""
        return tuple(g for g in self.groups if g.leak)

    @property
    def conflicts(self) -> tuple[Group, ...]:
        """Groups with more than one label."""
        return tuple(g for g in self.groups if g.conflict)

    @property
    def imbalance(self) -> float:
        """Images of the largest class of train over those of the smallest."""
        row = self.counts["train"].values()
        return max(row) / max(min(row), 1)

    @property
    def ok(self) -> bool:
        """Nothing that would spoil a training or its figures."""
        return not (self.bad or self.leaks or self.conflicts)

    def as_dict(self) -> dict[str, object]:
        """For JSON: everything, with the figures that follow from it."""
        groups = [{**asdict(g), "leak": g.leak, "conflict": g.conflict} for g in self.groups]
        return {
            "format": 1,
            "ok": self.ok,
            **asdict(self),
            "groups": groups,
            "images": self.images,
            "imbalance": self.imbalance,
        }

    def lines(self, *, most: int = 20) -> list[str]:
        """The report for people; of each list `most` are shown and the rest is counted."""
        out = [f"{self.name}: {self.images} images, {self.layout}"]
        for split, row in self.counts.items():
            shown = ", ".join(f"{name} {n}" for name, n in row.items())
            out.append(f"{split}: {sum(row.values())} ({shown})")
        if self.sizes:
            (h, w), (height, width) = self.sizes
            out.append(f"sizes: {h}x{w} to {height}x{width} (height x width)")
        if self.imbalance > MAX_IMBALANCE:
            out.append(f"imbalance: the largest class of train has {self.imbalance:.0f} times the "
                       "images of the smallest")  # fmt: skip
        out += _shown("cannot be read", [f"{b.place.name}: {b.reason}" for b in self.bad], most)
        for title, groups in self._titled():
            out += _shown(title, [_group_line(g) for g in groups], most)
        return [*out, "nothing wrong found" if self.ok else "needs a look"]

    def _titled(self) -> list[tuple[str, list[Group]]]:
        plain = [g for g in self.groups if not g.leak and not g.conflict]
        return [
            ("in more than one split", list(self.leaks)),
            ("under more than one class", list(self.conflicts)),
            ("the same file more than once", [g for g in plain if g.kind == "exact"]),
            ("look the same", [g for g in plain if g.kind == "near"]),
        ]


def _shown(title: str, rows: Sequence[str], most: int) -> list[str]:
    if not rows:
        return []
    rest = [f"  and {len(rows) - most} more"] if len(rows) > most else []
    return [f"{title} ({len(rows)}):", *(f"  {row}" for row in rows[:most]), *rest]


def _group_line(group: Group) -> str:
    names = " = ".join(
        p.name if p.name.startswith(p.split) else f"{p.name} [{p.split}]" for p in group.places
    )
    return f"{names} ({group.kind})"


def check(
    dataset: Dataset,
    *,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    timeout_s: float = TIMEOUT_S,
    memory_bytes: int = MEMORY_BYTES,
) -> CheckReport:
    """Decode every image once, each in a process that is ended after `timeout_s` or when it wants
    more than `memory_bytes`. Nothing is written.
    """
    placed = [(split, s) for split, samples in dataset.splits.items() for s in samples]
    findings = inspect(
        [s for _, s in placed],
        workers=workers or usable_cores(),
        timeout_s=timeout_s,
        memory_bytes=memory_bytes,
        on_progress=on_progress,
    )
    places = [_place(dataset, split, s) for split, s in placed]
    return CheckReport(
        name=dataset.name,
        layout=dataset.layout,
        counts={
            split: dict(zip(dataset.classes, row, strict=True))
            for split, row in dataset.counts().items()
        },
        sizes=_sizes(findings),
        bad=tuple(Bad(p, f.reason) for p, f in zip(places, findings, strict=True) if f.reason),
        groups=_groups(places, findings),
    )


def _place(dataset: Dataset, split: str, sample: Sample) -> Place:
    return Place(sample.name, split, dataset.classes[sample.label])


def _sizes(findings: Sequence[Finding]) -> tuple[tuple[int, int], tuple[int, int]] | None:
    sizes = sorted((f.size for f in findings if not f.reason), key=lambda hw: hw[0] * hw[1])
    return (sizes[0], sizes[-1]) if sizes else None


def _groups(places: Sequence[Place], findings: Sequence[Finding]) -> tuple[Group, ...]:
    """Exact groups, and near groups of what is left when one of each exact group stands for it."""
    same: dict[str, list[int]] = defaultdict(list)
    for i, finding in enumerate(findings):
        if not finding.reason:
            same[finding.digest].append(i)
    exact = [members for members in same.values() if len(members) > 1]
    first = {members[0] for members in same.values()}
    marks = [f.fingerprint if i in first else None for i, f in enumerate(findings)]
    near = [[i for j in group for i in same[findings[j].digest]] for group in near_groups(marks)]
    kinds = [("exact", g) for g in exact] + [("near", g) for g in near]
    return tuple(Group(kind, tuple(places[i] for i in sorted(g))) for kind, g in kinds)
