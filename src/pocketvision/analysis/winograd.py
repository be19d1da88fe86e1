"""Winograd's minimal filtering F(m x m, 3 x 3): its matrices, its multiplications, its errors.

A tile of (m + 2)^2 inputs gives m^2 outputs by (m + 2)^2 products, where direct convolution takes
9 m^2: 2.25 times fewer for m = 2, 4 times for m = 4. The price are transforms before and after, and
sums of numbers of different size, so that rounding errors grow with m.
Source: Lavin and Gray, arXiv:1509.09308, sections 4.1 to 4.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pocketvision.errors import UsageError

# Y = A^T [(G g G^T) * (B^T d B)] A; rows of B^T, G and A^T (equations 7 to 10, section 4.3)
B2 = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], float)
G2 = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], float)
A2 = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], float)
B4 = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    float,
)
G4 = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    float,
)
A4 = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], float
)
MATRICES = {2: (B2, G2, A2), 4: (B4, G4, A4)}
SAMPLE_OUT = 8  # channels of the outputs whose errors are looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """A way to compute one 3x3 layer. `error` is the largest difference of float32 outputs from
    float64 ones, as a share of the largest output.
    """

    name: str
    multiplications: int
    ratio: float
    error: float


def transformed(kernel: np.ndarray, m: int) -> np.ndarray:
    """(c_out, 3, 3, c_in) -> (positions, c_out, c_in), in float64. Raises UsageError for m."""
    g = _matrices(m)[1]
    u = np.einsum("pa,oabi,qb->pqoi", g, kernel.astype(np.float64), g, optimize=True)
    return u.reshape(-1, kernel.shape[0], kernel.shape[3])


def multiplications(height: int, width: int, *, c_in: int, c_out: int, m: int) -> int:
    """Products of channels for one (height, width) output; m = 0 is direct convolution."""
    if m == 0:
        return 9 * c_in * c_out * height * width
    _matrices(m)
    tiles = -(-height // m) * -(-width // m)
    return (m + 2) ** 2 * c_in * c_out * tiles


def convolve(x: np.ndarray, kernel: np.ndarray, m: int) -> np.ndarray:
    """(h, w, c_in) with a border of 1 -> (h - 2, w - 2, c_out), in the type of x.

    m = 0 convolves directly, tap by tap; 2 and 4 by tiles. Raises UsageError for another m.
    """
    if m == 0:
        return _direct(x, kernel)
    b, _, a = (matrix.astype(x.dtype) for matrix in _matrices(m))
    h, w, n = x.shape[0] - 2, x.shape[1] - 2, m + 2
    down, across = -(-h // m), -(-w // m)
    wide = np.pad(x, ((0, down * m - h), (0, across * m - w), (0, 0)))
    u = transformed(kernel, m).astype(x.dtype).reshape(n, n, kernel.shape[0], -1)
    out = np.zeros((down * m, across * m, kernel.shape[0]), x.dtype)
    for i in range(down):
        for j in range(across):
            d = wide[i * m : i * m + n, j * m : j * m + n]
            v = np.einsum("pr,rck,qc->pqk", b, d, b, optimize=True)
            s = np.einsum("pqok,pqk->pqo", u, v)
            out[i * m : i * m + m, j * m : j * m + m] = np.einsum("yp,pqo,xq->yxo", a, s, a)
    return out[:h, :w]


def compare(
    height: int, width: int, *, c_in: int, c_out: int, seed: int = 0
) -> tuple[Algorithm, ...]:
    """Direct convolution, F(2x2) and F(4x4) of one layer: what they multiply, how they round.

    Errors are tried out: normal inputs behind a ReLU, He's weights, all input channels, a few of
    the output channels and a map of at most 12 x 12, float32 against float64.
    """
    rng = np.random.default_rng(seed)
    h, w, k = min(height, 12), min(width, 12), min(c_out, SAMPLE_OUT)
    x = np.pad(np.maximum(rng.standard_normal((h, w, c_in)), 0), ((1, 1), (1, 1), (0, 0)))
    kernel = rng.standard_normal((k, 3, 3, c_in)) * np.sqrt(2 / (9 * c_in))
    exact = convolve(x, kernel, 0)
    direct = multiplications(height, width, c_in=c_in, c_out=c_out, m=0)
    rows = []
    for name, m in (("direct", 0), ("F(2x2, 3x3)", 2), ("F(4x4, 3x3)", 4)):
        count = multiplications(height, width, c_in=c_in, c_out=c_out, m=m)
        got = convolve(x.astype(np.float32), kernel.astype(np.float32), m)
        error = float(np.abs(got - exact).max() / np.abs(exact).max())
        rows.append(Algorithm(name=name, multiplications=count, ratio=direct / count, error=error))
    return tuple(rows)


def _matrices(m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if m not in MATRICES:
        raise UsageError(f"m of F(m x m, 3 x 3) must be 2 or 4, got {m!r}")
    return MATRICES[m]


def _direct(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    h, w = x.shape[0] - 2, x.shape[1] - 2
    out = np.zeros((h, w, kernel.shape[0]), x.dtype)
    for i in range(3):
        for j in range(3):
            out += x[i : i + h, j : j + w] @ kernel[:, i, j].T.astype(x.dtype)
    return out
