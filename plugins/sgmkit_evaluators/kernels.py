"""Distances that are averages of a kernel over pairs: MMD and the energy distance.

Both are E k(x, x') + E k(y, y') - 2 E k(x, y), samples x and data y independent, with k a mean of
Gaussian kernels or k = -|x - y| (Gretton et al. 2012; Szekely and Rizzo 2013). The estimates leave
out the pairs of a point with itself, so they are unbiased, and negative now and then.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sgmkit.evaluation import Context, Metric
from sgmkit_evaluators.pairs import Distance, Estimate

CHUNK = 256
MEDIAN_ROWS = 1000
DIRECT_DIMENSIONS = 8


@dataclass
class PairSums:
    """Sums of h_ij = k(x_i, x_j) + k(y_i, y_j) - k(x_i, y_j) - k(x_j, y_i) over pairs.

    ``rows (m,)`` sums h over the others of each i, ``squares`` is the sum of h^2 over i != j;
    ``cross`` sums k(x_i, y_j) over all pairs, ``matched`` over i = j.
    """

    rows: Tensor
    squares: float = 0.0
    cross: float = 0.0
    matched: float = 0.0


class KernelDistance(Distance):
    """A two-sample U-statistic with a score interval, for the chance in samples *and* data.

    The statistic scatters around the distance theta of the laws with a variance that has a part
    from pairs, there even if theta = 0, and a part from single points, which grows with theta.
    The interval holds every theta that lies within 1.96 standard deviations of the statistic,
    these taken *at theta* (`score_interval`). Its coverage measured 92 to 98 %, from equal laws to
    disjoint ones, in 2 and 16 dimensions, with 50 to 600 points; a symmetric one from the
    bias-corrected jackknife fell to 82 % for laws that are close but not equal.
    """

    @abstractmethod
    def kernel(self, squared: Tensor, scale: float) -> Tensor:
        """The kernel at squared distances of any shape, which it may overwrite."""

    @abstractmethod
    def scale(self, y: Tensor) -> float:
        """The kernel's squared unit of length, from the data ``y (m, d)``."""

    def estimate(self, x: Tensor, y: Tensor, ctx: Context) -> Estimate:
        """The U-statistic of ``x (m, d)`` and ``y (m, d)``, with its interval."""
        m, scale = len(x), self.scale(y)
        sums = self._pair_sums(x, y, scale)
        pairs = m * (m - 1)
        total = float(sums.rows.sum())
        value = (total + 2 * (sums.cross - sums.matched)) / pairs - 2 * sums.cross / m**2
        if m < 4:
            return Estimate(value, math.nan, math.nan)
        itself = m * float(self.kernel(x.new_zeros(1), scale))
        biased = (total + 2 * itself - 2 * sums.matched) / m**2
        linear, quadratic = _variances(sums.rows, sums.squares)
        slope = linear / biased if biased > 0 else 0.0
        return Estimate(value, *score_interval(value, quadratic, slope))

    def _pair_sums(self, x: Tensor, y: Tensor, scale: float) -> PairSums:
        """Over blocks of pairs that stay in the cache."""

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
                there, back = kernel(x[a], y[b]), kernel(y[a], x[b])
                sums.cross += float(there.sum() + back.sum())
                h = kernel(x[a], x[b]).add_(kernel(y[a], y[b])).sub_(there).sub_(back)
                sums.rows[a] += h.sum(1)
                sums.rows[b] += h.sum(0)
                sums.squares += 2 * float(h.square().sum())
        return sums


class Mmd(KernelDistance):
    """Squared maximum mean discrepancy, unbiased (Gretton et al. 2012, lemma 6).

    The kernel is the mean of five Gaussian kernels exp(-|x - y|^2 / (2 s^2)), with s^2 the squared
    median distance between data times 1/4, 1/2, 1, 2 and 4: k(x, x) = 1, values are below 2. The
    median is over pairs of the first 1,000 data; the interval takes it as given.
    """

    metrics = (Metric("mmd2", "lower"),)
    metric: ClassVar[str] = "mmd2"

    def scale(self, y: Tensor) -> float:
        """The squared median distance between data; their mean one where half of them coincide."""
        y = y[:MEDIAN_ROWS]
        upper = torch.ones(len(y), len(y), dtype=torch.bool, device=y.device).triu(1)
        squared = squared_distances(y, y)[upper]
        return float(squared.median()) or float(squared.mean()) or 1.0

    def kernel(self, squared: Tensor, scale: float) -> Tensor:
        """Five kernels for one exponential: each is the square of the next wider one."""
        value = squared.mul_(-1 / (8 * scale)).exp_()
        total = value.clone()
        for _ in range(4):
            total += value.square_()
        return total.div_(5)


class EnergyDistance(KernelDistance):
    """2 E|x - y| - E|x - x'| - E|y - y'|, unbiased: zero only if the laws agree.

    Not its square root, which other software (SciPy, for one) reports under the same name.
    """

    metrics = (Metric("energy-distance", "lower", unit="data units"),)
    metric: ClassVar[str] = "energy-distance"

    def scale(self, y: Tensor) -> float:
        """None is needed."""
        return 1.0

    def kernel(self, squared: Tensor, scale: float) -> Tensor:
        """Minus the distance."""
        return squared.sqrt_().neg_()


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances between rows, ``(m, d)`` and ``(n, d)`` to ``(m, n)``.

    By differences in few dimensions, by |x|^2 + |y|^2 - 2 x.y about the mean in many.
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
    """Variance of a U-statistic of degree 2 by its parts: of single points, and of pairs.

    With h_ij = mean + l_i + l_j + e_ij for i != j (Hoeffding 1948), fitted by least squares:
    4 var(l) / m and 2 var(e) / (m (m - 1)). The first is also the jackknife's estimate of the whole
    variance, and too large by 4 var(e) / (m (m - 2)) (Efron and Stein 1981): `score_interval` says
    why that is left in.

    Args:
        rows: sum of h_ij over j != i, ``(m,)``.
        squares: sum of h_ij^2 over i != j.
    """
    m = len(rows)
    pairs = m * (m - 1)
    mean = float(rows.sum()) / pairs
    linear = (rows - (m - 1) * mean) / (m - 2)
    total = float(linear.square().sum())
    rest = (squares - pairs * mean**2 - 2 * (m - 2) * total) / (m * (m - 3))
    return 4 * total / pairs, 2 * max(rest, 0.0) / pairs


def score_interval(value: float, quadratic: float, slope: float) -> tuple[float, float]:
    """All theta with (value - theta)^2 <= 1.96^2 (quadratic + slope max(theta, 0)).

    If the difference d of two mean embeddings is estimated with normal errors of covariance C,
    its squared length has variance 2 tr(C C) + 4 d.C d: ``quadratic``, and ``slope`` times theta =
    |d|^2. The slope 4 d.C d / |d|^2 is taken at the *estimated* d, as the jackknife's variance over
    the biased statistic: a stable ratio because the error of d is in both.
    """
    spread = 1.96 * math.sqrt(quadratic)
    middle = value + 1.96**2 * slope / 2
    root = math.sqrt(max(middle**2 - value**2 + spread**2, 0.0))
    low, high = value - spread, value + spread
    return (middle - root if low > 0 else low), (middle + root if high > 0 else high)
