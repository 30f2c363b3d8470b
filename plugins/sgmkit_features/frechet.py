"""The squared Frechet distance of two Gaussians fitted to features, and its sampling error.

    FID = |mu_1 - mu_2|^2 + tr S_1 + tr S_2 - 2 tr (S_1^{1/2} S_2 S_1^{1/2})^{1/2}

with the means and covariances (divisor n - 1) of two sets of features (Heusel et al. 2017). Let
S_1 = A A^T. Then the last trace is that of the root of the symmetric matrix A^T S_2 A, whose rank
is at most the smaller of the two ranks; its other eigenvalues are rounding errors, and are left
out. The usual formula takes the eigenvalues of S_1 S_2 instead; if there are fewer samples than
features, the roots of rounding errors cost it nine digits.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

CHUNK = 1024
"""Rows converted to float64 at a time; four times the number of features if that is more."""
ROWS = 512
"""Rows from which the sampling error is estimated, which is then good to about 5 %."""
EPS = 1e-15
"""An eigenvalue below this share of the largest one is a rounding error."""

Array = np.ndarray


@dataclass(frozen=True)
class Statistics:
    """What the distance needs of features ``(n, d)``.

    Args:
        count: n.
        mean: ``(d,)`` float64.
        cov: ``(d, d)`` float64, with divisor n - 1.
        rows: some of the features, evenly spaced, ``(m, d)`` float32, for the sampling error.
    """

    count: int
    mean: Tensor
    cov: Tensor
    rows: Tensor

    @property
    def rank(self) -> int:
        """The largest rank that the covariance can have."""
        return min(self.count - 1, len(self.mean))

    def factor(self) -> Array:
        """A matrix A ``(d, r)`` of full rank r with A A^T the covariance."""
        cov = self.cov.numpy()
        if self.rank == len(cov):
            try:
                return np.linalg.cholesky(cov)
            except np.linalg.LinAlgError:  # some features are constant, or functions of others
                pass
        values, vectors = _spectrum(cov, self.rank)
        return vectors * np.sqrt(values)


def statistics(features: Tensor, chunk: int = CHUNK, rows: int = ROWS) -> Statistics:
    """Mean and covariance of features ``(n, d)``, n >= 2, computed in float64.

    Args:
        features: of all images.
        chunk: rows converted to float64 at a time, or 4 d if that is more.
        rows: at most so many features are kept for the sampling error.
    """
    count, width = features.shape
    # The mean of some rows is close enough to the mean for one pass: with x - near summed up, what
    # it is off by is small, and is corrected in the end.
    near = features[:: math.ceil(count / 64)].numpy().mean(0, dtype=np.float64)
    total, cov = np.zeros(width), np.zeros((width, width))
    size = min(max(chunk, 4 * width), count)
    buffer, ones = np.empty((size, width)), np.ones(size)
    for block in features.split(size):
        part = np.subtract(block.numpy(), near, out=buffer[: len(block)])
        total += ones[: len(block)] @ part
        cov += part.T @ part  # NumPy sees that this is symmetric, which halves the work
    off = total / count
    mean, cov = near + off, (cov - count * np.outer(off, off)) / (count - 1)
    kept = features[:: math.ceil(count / rows)].clone()
    return Statistics(count, torch.from_numpy(mean), torch.from_numpy(cov), kept)


def frechet(one: Statistics, two: Statistics) -> tuple[float, float]:
    """The squared Frechet distance, and its variance from the chance in both sets of features.

    The variance is that of the delta method. A feature x of the first set moves the distance by
    phi(x) / n, with

        phi(x) = |x - mu_1|^2 + 2 (mu_1 - mu_2) . (x - mu_1) - (x - mu_1)^T T (x - mu_1)

    where T is the matrix of the optimal transport from the first Gaussian to the second; likewise
    for the second set. So the variance is that of phi over the features, divided by n, summed over
    the two sets. It is the variance around the expected value *at these numbers of features*,
    which lies above the distance of the laws. If the two laws are nearly equal it is too large, by
    up to a factor of 2.
    """
    if one.rank > two.rank:
        return frechet(two, one)
    apart = (one.mean - two.mean).numpy()
    factor = one.factor()
    across = two.cov.numpy() @ factor  # S_2 A
    # C = A^T S_2 A; the last trace of FID is the sum of the roots of its eigenvalues.
    squares, vectors = _spectrum(factor.T @ across, one.rank)
    roots = np.sqrt(squares)
    trace = float(one.cov.trace() + two.cov.trace())
    value = float(apart @ apart) + trace - 2 * float(roots.sum())
    # T = S_2 A C^{-3/2} A^T S_2 transports the first to the second, A C^{-1/2} A^T the second back.
    forth = _variance(one, apart, (across, vectors, roots**-1.5))
    back = _variance(two, -apart, (factor, vectors, roots**-0.5))
    return value, forth + back


def _spectrum(matrix: Array, rank: int) -> tuple[Array, Array]:
    """The ``rank`` largest eigenvalues without those that are rounding errors, and their vectors.

    Eigenvalues are in ascending order; the vectors are the columns of the second array.
    """
    values, vectors = np.linalg.eigh(matrix)
    rounding = int((values <= EPS * values.max(initial=0.0)).sum())
    first = max(len(values) - rank, rounding)
    return values[first:], vectors[:, first:]


def _variance(one: Statistics, apart: Array, transport: tuple[Array, Array, Array]) -> float:
    """Variance of phi over the kept rows, divided by n; an estimate, in single precision.

    Args:
        one: the set of features.
        apart: its mean less that of the other set, ``(d,)``.
        transport: factors of P with T = P P^T; the last one is the diagonal of a matrix.
    """
    rows = one.rows.numpy() - one.mean.numpy().astype(np.float32)
    first, second, scale = (factor.astype(np.float32) for factor in transport)
    moved = np.linalg.multi_dot([rows, first, second]) * scale  # in the order that costs least
    shift = 2 * (rows @ apart.astype(np.float32))
    phi = np.einsum("ij,ij->i", rows, rows) - np.einsum("ij,ij->i", moved, moved) + shift
    return float(phi.var(ddof=1, dtype=np.float64)) / one.count
