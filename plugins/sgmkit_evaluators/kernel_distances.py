"""Distances that are averages of a kernel over pairs of points: MMD and the energy distance.

    D = E k(x, x') + E k(y, y') - 2 E k(x, y)

with independent samples x, x' and data y, y'. MMD takes a mean of Gaussian kernels (Gretton et al.
2012), the energy distance k(x, y) = -|x - y| (Szekely and Rizzo 2013). The estimates leave out the
pairs of a point with itself. So they are unbiased, and may be negative.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sgmkit.evaluation import Context, Metric
from sgmkit_evaluators.distance import Distance, Estimate

CHUNK = 256
"""Rows of a block of pairs, which then stays in the processor's cache."""
MEDIAN_ROWS = 1000
"""Data from whose distances the median is taken."""
DIRECT_DIMENSIONS = 8
"""Up to this dimension, squared distances are sums of squared differences."""


@dataclass
class PairSums:
    """Sums over pairs of h_ij = k(x_i, x_j) + k(y_i, y_j) - k(x_i, y_j) - k(x_j, y_i).

    Args:
        rows: for each i, the sum of h_ij over j != i, ``(m,)``.
        squares: the sum of h_ij^2 over all i != j.
        cross: the sum of k(x_i, y_j) over all i and j.
        matched: the sum of k(x_i, y_i).
    """

    rows: Tensor
    squares: float = 0.0
    cross: float = 0.0
    matched: float = 0.0


class KernelDistance(Distance):
    """A two-sample U-statistic with a score interval, for the chance in samples *and* data.

    The statistic scatters around the distance theta of the laws. Its variance has two parts: one
    from pairs of points, which is there even if theta = 0, and one from single points, which grows
    with theta. The interval holds every theta for which the statistic lies within 1.96 standard
    deviations, the deviation being that *at this theta* (see `score_interval`). Its coverage
    measured 92 to 98 %, from equal laws to disjoint ones, in 2 and 16 dimensions, with 50 to 600
    points. A symmetric interval from the bias-corrected jackknife covered only 82 % for laws that
    are close but not equal.
    """

    @abstractmethod
    def kernel(self, squared: Tensor, scale: float) -> Tensor:
        """The kernel of squared distances of any shape; it may overwrite its argument."""

    @abstractmethod
    def scale(self, y: Tensor) -> float:
        """The kernel's squared unit of length, from the data ``y (m, d)``."""

    def estimate(self, x: Tensor, y: Tensor, ctx: Context) -> Estimate:
        """The U-statistic of ``x (m, d)`` and ``y (m, d)``, with its interval."""
        m, scale = len(x), self.scale(y)
        sums = self._pair_sums(x, y, scale)
        pairs = m * (m - 1)
        total = float(sums.rows.sum())
        # sum_{i != j} [k(x_i, x_j) + k(y_i, y_j)] / (m (m - 1)) - 2 sum_{ij} k(x_i, y_j) / m^2
        value = (total + 2 * (sums.cross - sums.matched)) / pairs - 2 * sums.cross / m**2
        if m < 4:
            return Estimate(value, math.nan, math.nan)
        itself = m * float(self.kernel(x.new_zeros(1), scale))
        # The biased statistic, with the pairs of a point with itself: |d|^2 of `score_interval`.
        biased = (total + 2 * itself - 2 * sums.matched) / m**2
        linear, quadratic = _variances(sums.rows, sums.squares)
        slope = linear / biased if biased > 0 else 0.0
        return Estimate(value, *score_interval(value, quadratic, slope))

    def _pair_sums(self, x: Tensor, y: Tensor, scale: float) -> PairSums:
        """The sums, computed over blocks of pairs; h is symmetric, so each block counts for two."""

        def kernel(a: Tensor, b: Tensor) -> Tensor:
            return self.kernel(squared_distances(a, b), scale)

        sums = PairSums(torch.zeros_like(x[:, 0]))
        cuts = range(0, len(x), CHUNK)
        for i, a in enumerate(slice(c, c + CHUNK) for c in cuts):
            cross = kernel(x[a], y[a])
            h = kernel(x[a], x[a]).add_(kernel(y[a], y[a])).sub_(cross).sub_(cross.T)
            h.fill_diagonal_(0)
            sums.rows[a] += h.sum(1)
            sums.squares += float(h.square().sum())
            sums.cross += float(cross.sum())
            sums.matched += float(cross.diagonal().sum())
            for b in (slice(c, c + CHUNK) for c in cuts[i + 1 :]):
                forth, back = kernel(x[a], y[b]), kernel(y[a], x[b])
                sums.cross += float(forth.sum() + back.sum())
                h = kernel(x[a], x[b]).add_(kernel(y[a], y[b])).sub_(forth).sub_(back)
                sums.rows[a] += h.sum(1)
                sums.rows[b] += h.sum(0)
                sums.squares += 2 * float(h.square().sum())
        return sums


class Mmd(KernelDistance):
    """Squared maximum mean discrepancy, unbiased (Gretton et al. 2012, lemma 6).

    The kernel is the mean of five Gaussian kernels exp(-|x - y|^2 / (2 s^2)), where s^2 is the
    squared median distance between data times 1/4, 1/2, 1, 2 and 4. So k(x, x) = 1, and values are
    below 2. The median is that of all pairs of the first 1,000 data; the interval leaves out the
    chance in it.
    """

    metrics = (Metric("mmd2", "lower"),)
    metric: ClassVar[str] = "mmd2"

    def scale(self, y: Tensor) -> float:
        """The squared median distance between data; the mean instead if half of them coincide."""
        y = y[:MEDIAN_ROWS]
        upper = torch.ones(len(y), len(y), dtype=torch.bool, device=y.device).triu(1)
        squared = squared_distances(y, y)[upper]
        return float(squared.median()) or float(squared.mean()) or 1.0

    def kernel(self, squared: Tensor, scale: float) -> Tensor:
        """The mean of the five kernels; each is the square of the next wider one."""
        # The widest first: s^2 = 4 scale, so exp(-|x - y|^2 / (8 scale)).
        value = squared.mul_(-1 / (8 * scale)).exp_()
        total = value.clone()
        for _ in range(4):
            total += value.square_()
        return total.div_(5)


class EnergyDistance(KernelDistance):
    """2 E|x - y| - E|x - x'| - E|y - y'|, unbiased; its expectation is zero only for equal laws.

    Other software, such as SciPy, reports the square root of this under the same name.
    """

    metrics = (Metric("energy-distance", "lower", unit="data units"),)
    metric: ClassVar[str] = "energy-distance"

    def scale(self, y: Tensor) -> float:
        """One: this kernel needs no unit of length."""
        return 1.0

    def kernel(self, squared: Tensor, scale: float) -> Tensor:
        """k(x, y) = -|x - y|."""
        return squared.sqrt_().neg_()


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances between the rows of ``x (m, d)`` and those of ``y (n, d)``, ``(m, n)``.

    In few dimensions they are sums of squared differences; in many, |x|^2 + |y|^2 - 2 x.y with the
    mean of y taken out, which is faster.
    """
    if x.shape[1] <= DIRECT_DIMENSIONS:
        out = x.new_zeros(len(x), len(y))
        for a, b in zip(x.unbind(1), y.unbind(1), strict=True):
            out.add_((a[:, None] - b).square_())
        return out
    centre = y.mean(dim=0)
    x, y = x - centre, y - centre
    norms = x.square().sum(1)[:, None] + y.square().sum(1)
    return norms.addmm_(x, y.T, alpha=-2).clamp_(min=0)


def _variances(rows: Tensor, squares: float) -> tuple[float, float]:
    """The two parts of the variance of a U-statistic of degree 2: of single points, and of pairs.

    The model is h_ij = mean + l_i + l_j + e_ij for i != j (Hoeffding 1948), fitted by least
    squares; the parts are 4 var(l) / m and 2 var(e) / (m (m - 1)). The first is also what the
    jackknife takes for the whole variance, and as an estimate of its part it is too large by
    4 var(e) / (m (m - 2)) (Efron and Stein 1981). `score_interval` says why that is left in.

    Args:
        rows: for each i, the sum of h_ij over j != i, ``(m,)``.
        squares: the sum of h_ij^2 over all i != j.
    """
    m = len(rows)
    pairs = m * (m - 1)
    mean = float(rows.sum()) / pairs
    linear = (rows - (m - 1) * mean) / (m - 2)
    total = float(linear.square().sum())
    residual = (squares - pairs * mean**2 - 2 * (m - 2) * total) / (m * (m - 3))
    return 4 * total / pairs, 2 * max(residual, 0.0) / pairs


def score_interval(value: float, quadratic: float, slope: float) -> tuple[float, float]:
    """All theta with (value - theta)^2 <= 1.96^2 (quadratic + slope max(theta, 0)).

    Let d be the difference of the two mean embeddings, so theta = |d|^2. If d is estimated with
    normal errors of covariance C, the estimate of theta has the variance 2 tr(C C) + 4 d.C d:
    ``quadratic``, and ``slope`` times theta. The slope 4 d.C d / |d|^2 is taken at the *estimated*
    d, as the jackknife's variance over the biased statistic. This ratio is stable because the error
    of d is in both.
    """
    spread = 1.96 * math.sqrt(quadratic)
    middle = value + 1.96**2 * slope / 2
    root = math.sqrt(max(middle**2 - value**2 + spread**2, 0.0))
    low, high = value - spread, value + spread
    return (middle - root if low > 0 else low), (middle + root if high > 0 else high)
