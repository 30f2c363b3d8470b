r"""The Frechet distance of two Gaussians fitted to features, and its sampling error.

``FID = |mu_1 - mu_2|^2 + tr S_1 + tr S_2 - 2 tr (S_1^{1/2} S_2 S_1^{1/2})^{1/2}``, covariances with
divisor n - 1 (Heusel et al. 2017). With ``S_1 = A A^T`` the last trace is that of the root of the
symmetric matrix ``A^T S_2 A``, whose rank is at most the smaller of the two ranks. Eigenvalues
beyond it are rounding, and roots of rounding are what costs the usual formula, the eigenvalues of
``S_1 S_2``, nine digits where there are fewer samples than features.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

CHUNK = 1024
"""Rows in float64 at a time, or four times the number of features where that is more."""
ROWS = 512
"""Rows that the sampling error is estimated from: it is good to about 5 % then."""
EPS = 1e-15
"""An eigenvalue below this share of the largest is rounding."""

Array = np.ndarray


@dataclass(frozen=True)
class Statistics:
    """What the distance needs of features ``(n, d)``.

    Args:
        count: n.
        mean: ``(d,)`` float64. cov: ``(d, d)`` float64, divisor n - 1.
        rows: some of the features, evenly spaced, ``(m, d)`` float32: for the sampling error.
    """

    count: int
    mean: Tensor
    cov: Tensor
    rows: Tensor


def statistics(features: Tensor) -> Statistics:
    """Of features ``(n, d)``, in float64, some rows at a time; n >= 2."""
    count, width = features.shape
    near = features[:: math.ceil(count / 64)].numpy().mean(0, dtype=np.float64)
    total, cov = np.zeros(width), np.zeros((width, width))
    size = min(max(CHUNK, 4 * width), count)
    buffer, ones = np.empty((size, width)), np.ones(size)
    for chunk in features.split(size):
        # A mean of some rows makes one pass enough: what it is off by is small, and taken out.
        part = np.subtract(chunk.numpy(), near, out=buffer[: len(chunk)])
        total += ones[: len(chunk)] @ part
        cov += part.T @ part  # NumPy sees that it is symmetric, which halves the work
    off = total / count
    mean, cov = near + off, (cov - count * np.outer(off, off)) / (count - 1)
    rows = features[:: math.ceil(count / ROWS)].clone()
    return Statistics(count, torch.from_numpy(mean), torch.from_numpy(cov), rows)


def frechet(one: Statistics, two: Statistics) -> tuple[float, float]:
    """The distance, and the variance that the chance in both sets of features gives it.

    A feature x of the first set moves the distance by ``phi(x) / n``, where ``phi(x) = |x - mu_1|^2
    + 2 (mu_1 - mu_2) . (x - mu_1) - (x - mu_1)^T T (x - mu_1)``, with T the matrix of the optimal
    transport between the two Gaussians; likewise one of the second (the delta method). The variance
    is that of phi over the features, over n. It is about that of the value around its expectation
    *at these numbers of features*, which is above the distance of the laws, and too large by up
    to a factor of 2 where the two laws are nearly equal.
    """
    if _rank(one) > _rank(two):
        return frechet(two, one)
    apart = (one.mean - two.mean).numpy()
    factor = _factor(one)
    across = two.cov.numpy() @ factor
    squares, vectors = _spectrum(factor.T @ across, _rank(one))
    roots = np.sqrt(squares)
    trace = float(one.cov.trace() + two.cov.trace())
    value = float(apart @ apart) + trace - 2 * float(roots.sum())
    # With C = A^T S_2 A, T is S_2 A C^{-3/2} A^T S_2, and the way back is A C^{-1/2} A^T.
    there = _spread(one, apart, (across, vectors, roots**-1.5))
    back = _spread(two, -apart, (factor, vectors, roots**-0.5))
    return value, there + back


def _rank(found: Statistics) -> int:
    return min(found.count - 1, len(found.mean))


def _factor(found: Statistics) -> Array:
    """A, ``(d, r)`` of full rank r, with A A^T the covariance."""
    cov = found.cov.numpy()
    if _rank(found) == len(cov):
        try:
            return np.linalg.cholesky(cov)
        except np.linalg.LinAlgError:  # features that are constant, or functions of each other
            pass
    values, vectors = _spectrum(cov, _rank(found))
    return vectors * np.sqrt(values)


def _spectrum(matrix: Array, rank: int) -> tuple[Array, Array]:
    """The ``rank`` largest eigenvalues, less those that are rounding, and their vectors."""
    values, vectors = np.linalg.eigh(matrix)
    rounding = int((values <= EPS * values.max(initial=0.0)).sum())  # in ascending order
    first = max(len(values) - rank, rounding)
    return values[first:], vectors[:, first:]


def _spread(found: Statistics, apart: Array, transport: tuple[Array, Array, Array]) -> float:
    """Variance of phi over the rows, over n; with ``T = P P^T``, P the product of ``transport``.

    Its last factor is diagonal. In single precision: it is an estimate from some rows.
    """
    rows = found.rows.numpy() - found.mean.numpy().astype(np.float32)
    first, second, scale = (factor.astype(np.float32) for factor in transport)
    moved = np.linalg.multi_dot([rows, first, second]) * scale  # in the order that costs least
    near = 2 * (rows @ apart.astype(np.float32))
    phi = np.einsum("ij,ij->i", rows, rows) - np.einsum("ij,ij->i", moved, moved) + near
    return float(phi.var(ddof=1, dtype=np.float64)) / found.count
