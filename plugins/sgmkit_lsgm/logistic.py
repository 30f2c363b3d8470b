"""The discretised logistic law: a logistic variable, rounded to evenly spaced levels.

Positions are in units of a level's width from the middle of the range, so the levels are
``-end, -end + 1, ..., end`` with ``end = (levels - 1) / 2``. Cells meet at numbers that floats hold
exactly, so that the probabilities of all levels sum to one at any scale. The first and the last
level take the tails (Salimans, Karpathy, Chen and Kingma 2017, sec. 2.1).
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

SERIES = 1e-3
"""Rate below which ``log(1 - exp(-rate))`` is a series, whose next term is 3e-16."""


def nearest(position: Tensor, levels: int) -> Tensor:
    """The level nearest to any position."""
    end = (levels - 1) / 2
    return (position + end).round().clamp(0, levels - 1) - end


def log_mass(level: Tensor, mean: Tensor, log_rate: Tensor, levels: int) -> Tensor:
    """Log-probability of a level, of the shape that the arguments broadcast to.

    With s(z) = 1 / (1 + exp(-z)) and a, b = rate (level -+ 1/2 - mean), the probability of a cell
    is ``s(b) - s(a) = s(b) s(-a) (1 - exp(-rate))``, which no cancellation spoils.

    Args:
        level: its position.
        mean: of the logistic variable, a position.
        log_rate: logarithm of the width of a level over the logistic's scale.
        levels: their number.
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
    """Mean position of the level, exactly: half the sum of ``tanh(rate (mean - edge) / 2)``.

    The sum is over the ``levels - 1`` edges between cells; it is that of ``1/2 - P(below edge)``.
    """
    half_rate, total = log_rate.exp() / 2, torch.zeros_like(mean)
    for place in range(levels - 1):
        total = total + torch.tanh(half_rate * (mean - (place - (levels - 2) / 2)))
    return total / 2


def draw(mean: Tensor, log_rate: Tensor, uniform: Tensor, levels: int) -> Tensor:
    """A level, from a number in (0, 1): the logistic's quantile, rounded."""
    rate = log_rate.exp().clamp_min(torch.finfo(log_rate.dtype).tiny)
    return nearest(mean + uniform.logit() / rate, levels)
