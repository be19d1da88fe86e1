"""Ants and bees from 245 photos: the last layer alone, on what a frozen MobileNetV2 gives.

command   POCKETVISION_WEIGHTS=... POCKETVISION_DATA=... make bench-weights
machine   any; two cores
time      under half a minute, all included (the allowance is one minute)
expect    accuracy on the 153 held-out photos at least 0.93
writes    runs/train/transfer-hymenoptera and "transfer" in results/imported_weights.json
"""

from __future__ import annotations

import sys

from transferred import measured, places

FLAGS = "--freeze trunk"
LEAST = 0.93


def main() -> int:
    """Train once; 1 where the accuracy stays under what the header promises."""
    found = places()
    if found is None:
        return 2
    weights, data = found
    return measured("hymenoptera", data / "hymenoptera", weights, FLAGS, least=LEAST)


if __name__ == "__main__":
    sys.exit(main())
