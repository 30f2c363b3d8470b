"""The kernel inception distance, on features of any extractor."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor
from typing_extensions import Doc

from sgmkit import Context, Metric, Noise, Value
from sgmkit_features.features import Bank, Images, PairMetric

Rows = tuple[Tensor, Tensor]
"""Positions ``(s,)`` of a subset of samples, and of one of data."""


@dataclass(frozen=True)
class Kid(PairMetric):
    """Squared maximum mean discrepancy of features, kernel ``(x . y / d + 1)^3``, unbiased.

    Binkowski et al. 2018: the mean over ``subsets`` random pairs of subsets of ``size`` samples and
    data. Where there are no more than ``size`` of either, all pairs of subsets are the same, and
    one is computed. Cells of one seed share the subsets.

    The interval is that of the chance in samples and data (`distance`): the standard error over
    subsets, which is published with many values, leaves that chance out, and measured a half to a
    quarter of the true one. It covered the distance of the laws in 92 to 99 % of repeats.
    """

    subsets: Annotated[int, Ge(1), Doc("random pairs of subsets")] = 100
    size: Annotated[int, Ge(2), Doc("samples, and data, in each")] = 1000

    metrics = (Metric("kid", "lower"),)

    def measure(self, bank: Bank, x: Images, y: Images, ctx: Context) -> Iterable[Value]:
        """One row."""
        size = min(self.size, x.count, y.count)
        count = 1 if size == x.count == y.count else self.subsets
        chosen = [*_subsets(x.count, y.count, size, count, ctx.noise.stream("kid"))]
        value, variance = distance(bank.features(x), bank.features(y), chosen)
        half = 1.96 * math.sqrt(variance)
        yield Value("kid", value, value - half, value + half, x.count)


def distance(x: Tensor, y: Tensor, subsets: Sequence[Rows]) -> tuple[float, float]:
    """The mean squared discrepancy over subsets of ``x (n, d)`` and ``y (m, d)``; its variance.

    Computed in float64. Subsets chosen beforehand make the mean a smooth function of independent
    rows: each moves it by its kernel sums in the subsets that it is in, and the variance is the sum
    of squares of these moves, the jackknife's. That takes the part that comes from pairs twice
    (Efron and Stein 1981), so it is too large by up to a factor of 2 where the two laws are equal.
    """
    moves = [torch.zeros(len(rows), dtype=torch.float64) for rows in (x, y)]
    total = 0.0
    for chosen in subsets:
        a, b = x[chosen[0]].double(), y[chosen[1]].double()
        size = len(a)
        inner, outer = size * (size - 1), size * size
        cross = _kernel(a, b)
        total -= 2 * float(cross.sum()) / outer
        for side, rows, against in ((0, a, cross.sum(1)), (1, b, cross.sum(0))):
            sums = _kernel(rows, rows).fill_diagonal_(0).sum(1)
            total += float(sums.sum()) / inner
            move = 2 * (sums / inner - against / outer)
            moves[side][chosen[side]] += move - move.mean()
    variance = sum(float(move.square().sum()) for move in moves) / len(subsets) ** 2
    return total / len(subsets), variance


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T).div_(x.shape[1]).add_(1).pow_(3)


def _subsets(n: int, m: int, size: int, count: int, noise: Noise) -> Iterator[Rows]:
    """Random rows without repetition, from the noise of the first sample id alone."""
    source = noise.select(torch.zeros(1, dtype=torch.int64))

    def rows(n: int) -> Tensor:
        order = source.uniform(torch.empty(1, n, dtype=torch.float64))[0]
        return order.topk(size).indices

    return ((rows(n), rows(m)) for _ in range(count))
