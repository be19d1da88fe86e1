"""Whether two accuracies differ by more than chance: tests and intervals of two shares."""

from __future__ import annotations

import math

Z_95 = 1.959963984540054  # the normal quantile of 0.975


def mcnemar(only_a: int, only_b: int) -> float:
    """Two-sided p of the exact test on images that one of two networks alone answers right: how
    likely a coin that falls `only_a` and `only_b` times is at least as uneven.

    p = min(1, 2 sum_{i <= min(a, b)} C(a + b, i) / 2^(a + b)). Source: McNemar 1947,
    Psychometrika 12, 153-157, with the binomial distribution instead of its limit.
    """
    n = only_a + only_b
    terms = (_log_binomial(n, i) - n * math.log(2) for i in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * math.fsum(math.exp(t) for t in terms))


def _log_binomial(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def paired_interval(only_a: int, only_b: int, n: int) -> tuple[float, float]:
    """95% interval of b's share of right answers minus a's, on the same `n` images.

    The interval of the difference of paired shares with half an image added to each of the four
    cells. Source: Agresti and Min 2005, Statistics in Medicine 24, 729-740.
    """
    a, b, total = only_a + 0.5, only_b + 0.5, n + 2
    middle = (b - a) / total
    half = Z_95 * math.sqrt(a + b - (b - a) ** 2 / total) / total
    return max(middle - half, -1.0), min(middle + half, 1.0)


def two_shares(right_a: int, n_a: int, right_b: int, n_b: int) -> float:
    """Two-sided p that two shares of different images differ so much by chance.

    z = (p_b - p_a) / sqrt(p (1 - p) (1/n_a + 1/n_b)) with the common share p.
    """
    common = (right_a + right_b) / (n_a + n_b)
    spread = math.sqrt(common * (1 - common) * (1 / n_a + 1 / n_b))
    if spread == 0:
        return 1.0
    return math.erfc(abs(right_b / n_b - right_a / n_a) / spread / math.sqrt(2))


def unpaired_interval(right_a: int, n_a: int, right_b: int, n_b: int) -> tuple[float, float]:
    """95% interval of b's share minus a's, on different images, from their Wilson intervals.

    Source: Newcombe 1998, Statistics in Medicine 17, 873-890, method 10.
    """
    (low_a, p_a, high_a), (low_b, p_b, high_b) = _wilson(right_a, n_a), _wilson(right_b, n_b)
    difference = p_b - p_a
    low = difference - math.hypot(p_b - low_b, high_a - p_a)
    high = difference + math.hypot(high_b - p_b, p_a - low_a)
    return low, high


def _wilson(right: int, n: int) -> tuple[float, float, float]:
    """(low, share, high)."""
    from pocketvision.tasks.classify import wilson

    low, high = wilson(right, n)
    return low, right / n, high
