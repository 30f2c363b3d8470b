"""The discretised logistic law: a logistic variable, rounded to evenly spaced levels.

A position is a distance from the middle of the range in units of the distance between levels, so
the levels are ``-end, -end + 1, ..., end`` with ``end = (levels - 1) / 2``. The cell of a level
reaches half a unit to either side. Its edges are numbers that floats hold exactly, so that the
probabilities of all levels sum to one at any scale. The first and the last level include the tails
(Salimans, Karpathy, Chen and Kingma 2017, sec. 2.1).
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

SERIES = 1e-3
"""Rate below which ``log(1 - exp(-rate))`` is computed as a series; its next term is 3e-16."""
ONE_BY_ONE = 15
"""Number of edges next to the mean that `expectation` sums one by one."""


def nearest(position: Tensor, levels: int) -> Tensor:
    """The level nearest to any position."""
    end = (levels - 1) / 2
    return (position + end).round().clamp(0, levels - 1) - end


def log_mass(level: Tensor, mean: Tensor, log_rate: Tensor, levels: int) -> Tensor:
    """Log-probability of a level, of the shape that the arguments broadcast to.

    With ``s(z) = 1 / (1 + exp(-z))``, ``a = rate (level - 1/2 - mean)`` and ``b = a + rate``, the
    probability of a cell is ``s(b) - s(a) = s(b) s(-a) (1 - exp(-rate))``. The product has no
    cancellation.

    Args:
        level: position of the level.
        mean: position of the logistic variable's mean.
        log_rate: logarithm of the rate, the distance between levels over the logistic's scale.
        levels: number of levels.
    """
    end, rate = (levels - 1) / 2, log_rate.exp()
    below_upper = logsigmoid(rate * (level + 0.5 - mean))
    above_lower = logsigmoid(-rate * (level - 0.5 - mean))
    series = log_rate - rate / 2 + rate.square() / 24
    between = torch.where(rate < SERIES, series, (-torch.expm1(-rate.clamp_min(SERIES))).log())
    zero = torch.zeros_like(between)
    return (
        torch.where(level < end, below_upper, zero)
        + torch.where(level > -end, above_lower, zero)
        + torch.where(level.abs() < end, between, zero)
    )


def expectation(mean: Tensor, log_rate: Tensor, levels: int) -> Tensor:
    """Mean position of the level, to 1e-10 in float64.

    It is ``1/2 sum tanh(rate (mean - edge) / 2)`` over the ``levels - 1`` edges between cells, the
    sum of ``1/2 - P(below edge)``. The edges next to the mean are summed one by one. On either side
    of them the curve is smooth at any rate, and the sum is its integral plus the first corrections
    of the Euler-Maclaurin formula.
    """
    rate, count, end = log_rate.exp(), min(ONE_BY_ONE, levels - 1), (levels - 1) / 2
    first = (mean - count / 2 + end).round().clamp(0, levels - 1 - count) - end
    half, total = rate / 2, torch.zeros_like(mean)
    start = half * (mean - first - 0.5)
    for place in range(count):
        total = total + torch.sub(start, half, alpha=place).tanh()
    ends = (torch.full_like(mean, -end), first, first + count, torch.full_like(mean, end))
    scaled = [rate * (mean - edge) for edge in ends]
    from_first, to_window, from_window, to_last = (_corrections(x, rate) for x in scaled)
    smooth = _log_cosh_ratio(*scaled[:2]) + _log_cosh_ratio(*scaled[2:])
    bent = to_window - from_first + to_last - from_window
    return total / 2 + smooth / rate + bent


def _log_cosh_ratio(x: Tensor, y: Tensor) -> Tensor:
    """``log cosh(x / 2) - log cosh(y / 2)``, precise also where both are nearly equal, or large."""
    x, y = x.abs(), y.abs()
    least, most = torch.minimum(x, y), torch.maximum(x, y)
    bend = torch.log1p(torch.sigmoid(-least) * torch.expm1(least - most))
    return (x - y) / 2 + torch.where(x > y, bend, -bend)


def _corrections(x: Tensor, rate: Tensor) -> Tensor:
    """Euler-Maclaurin corrections at one end, for a sum of ``s(x - rate j)`` over midpoints.

    ``rate s'(x) / 24 - 7 rate^3 s^(3)(x) / 5760 + 31 rate^5 s^(5)(x) / 967680 - ...``. The odd
    derivatives of s are polynomials in ``p = s (1 - s)``, by
    ``D^2 p^n = n^2 p^n - 2n (2n + 1) p^(n + 1)``.
    """
    p = torch.sigmoid(x) * torch.sigmoid(-x)
    square = rate.square()
    third = 1 - 6 * p
    fifth = 1 + p * (120 * p - 30)
    seventh = 1 + p * (-126 + p * (1680 - 5040 * p))
    series = 31 / 967680 * fifth - square * (127 / 154828800) * seventh
    return rate * p * (1 / 24 - square * (7 / 5760 * third - square * series))


def draw(mean: Tensor, log_rate: Tensor, uniform: Tensor, levels: int) -> Tensor:
    """A level from uniform numbers in (0, 1): the logistic's quantile, rounded."""
    rate = log_rate.exp().clamp_min(torch.finfo(log_rate.dtype).tiny)
    return nearest(mean + uniform.logit() / rate, levels)
