"""losses.csv: the loss and the learning rate of every step, as numbers that read back to the bit.

Lines are held in memory and put on the disk before each checkpoint, so that the file never knows
less than the newest checkpoint does. A resumed run cuts off what comes after its checkpoint and
goes on there: however often it was killed, each step stands there once.
"""

from __future__ import annotations

from pathlib import Path

from pocketvision.files import append

NAME = "losses.csv"
HEADER = b"step,epoch,loss,lr\n"


class LossesCsv:
    """The file of a run in `folder` that has taken `step` steps; nothing is written before `put`.

    `begins`: it knows all steps after this one; over 0 where a run of an older version, which wrote
    no such file, or one whose file is gone, is resumed. Without `writes` the file is another's.
    """

    def __init__(self, folder: Path, *, step: int = 0, writes: bool = True) -> None:
        self.writes = writes
        self.path = folder / NAME
        known = _until(self.path, step)
        self.begins = step - len(known)
        self._recent = known[-100:]
        self._end = len(HEADER) + sum(map(len, known)) if known else 0
        self._new = [] if known else [HEADER]

    def add(self, step: int, epoch: int, loss: float, lr: float) -> None:
        """Take note of a step."""
        self._new.append(f"{step},{epoch},{loss!r},{lr!r}\n".encode())

    def put(self) -> None:
        """Have all that was noted on the disk. Raises PocketvisionError."""
        if self._new and not self.writes:
            self._new = []
        elif self._new:
            data = b"".join(self._new)
            append(self.path, data, at=self._end)
            self._end, self._new = self._end + len(data), []

    def last(self, count: int) -> list[float]:
        """Up to `count` (100 at most) losses of the steps before the one that the run began at."""
        return [float(line.split(b",")[2]) for line in self._recent[-count:]]


def _until(path: Path, step: int) -> list[bytes]:
    """The lines of the steps up to `step`, one each; none where the file does not end there."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)[1:] if step else []
        first = int(lines[0].split(b",")[0]) if lines else step + 1
        known = lines[: step - first + 1]
        steps = [int(line.split(b",", 1)[0]) for line in known]
        whole = steps == list(range(first, step + 1)) and all(map(_is_whole, known[-100:]))
    except (OSError, ValueError):
        return []
    return known if whole else []


def _is_whole(line: bytes) -> bool:
    _, _, loss, lr = line.split(b",")
    return line.endswith(b"\n") and float(loss) == float(loss) and float(lr) >= 0
