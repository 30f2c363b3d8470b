"""Laws of evenly spaced levels from -1 to 1: a discretised logistic, and a mixture of ten."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sgmkit.noise import Noise
from sgmkit_lsgm import logistic
from sgmkit_lsgm.law import Observation, at_least_float32

COMPONENTS = 10
"""Number of logistics in a mixture."""
LEAST_LOG_SCALE = -7.0
"""Lower limit of the logarithm of a logistic's scale, in data units (PixelCNN++)."""


@dataclass(frozen=True)
class Logistic(Observation):
    """Evenly spaced levels from -1 to 1, with one discretised logistic for each channel of a pixel.

    A value between two levels counts as the nearer one.

    Args:
        levels: their number.
    """

    levels: int

    name = "logistic"

    @property
    def out_channels(self) -> int:
        """Two for each channel: the means, then the logarithms of the scales, in data units."""
        return 2 * self.event[0]

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """Log-probability of the levels, nats, ``(B,)``."""
        mean, log_rate = self._mean_log_rate(params)
        each = logistic.log_mass(_level(x, self.levels), mean, log_rate, self.levels)
        return each.flatten(1).sum(1)

    def mean(self, params: Tensor) -> Tensor:
        """Mean over the levels, exactly, ``(B, *event)``."""
        return _data(logistic.expectation(*self._mean_log_rate(params), self.levels), self.levels)

    def sample(self, params: Tensor, noise: Noise) -> Tensor:
        """Levels, ``(B, *event)``."""
        mean, log_rate = self._mean_log_rate(params)
        level = logistic.draw(mean, log_rate, noise.uniform(mean), self.levels)
        return _data(level, self.levels)

    def _mean_log_rate(self, params: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_scale = at_least_float32(params).chunk(2, 1)
        return mean / _width(self.levels), _log_rate(log_scale, self.levels)


@dataclass(frozen=True)
class Mixture(Observation):
    """Evenly spaced levels from -1 to 1, with a mixture of ten discretised logistics for a pixel.

    The channels of a pixel share the component. Within a component the mean of channel c is
    ``mean_c + sum_(d < c) tanh(a_cd) x_d``: it depends linearly on the values of the channels
    before it (Salimans et al. 2017, sec. 2.2, here for any number of channels).

    Args:
        levels: their number.
    """

    levels: int

    name = "mixture"

    @property
    def out_channels(self) -> int:
        """Logits; means; log scales; a coefficient for each pair of channels: ten of each.

        That is 100 for three channels and 30 for one. Means and scales come by channel, the pairs
        of channels in the order (1, 0), (2, 0), (2, 1), ...
        """
        return sum(self._parts)

    @property
    def _parts(self) -> tuple[int, int, int, int]:
        each, channels = COMPONENTS, self.event[0]
        return each, each * channels, each * channels, each * channels * (channels - 1) // 2

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """Log-probability of the levels, nats, ``(B,)``."""
        logits, means, log_rate, coefficients = self._split(params)
        level = _level(x, self.levels)[:, :, None]
        total = logits.log_softmax(1)
        for channel in range(self.event[0]):
            mean = _conditional_mean(means, coefficients, level[:, :channel])
            rate = log_rate[:, channel]
            total = total + logistic.log_mass(level[:, channel], mean, rate, self.levels)
        return total.logsumexp(1).flatten(1).sum(1)

    def mean(self, params: Tensor) -> Tensor:
        """Mean over the levels, ``(B, *event)``. It is exact in the first channel.

        In a later channel, the channels before it are taken at their means within the component.
        That would be exact as well if levels did not end at -1 and 1. (The published code averages
        means and coefficients over the components first, which is not the mean of the law.)
        """
        logits, means, log_rate, coefficients = self._split(params)
        values = means[:, :0]
        for channel in range(self.event[0]):
            mean = _conditional_mean(means, coefficients, values)
            each = logistic.expectation(mean, log_rate[:, channel], self.levels)
            values = torch.cat([values, each[:, None]], 1)
        return _data((logits.softmax(1)[:, None] * values).sum(2), self.levels)

    def sample(self, params: Tensor, noise: Noise) -> Tensor:
        """Levels, ``(B, *event)``: a component is drawn for each pixel, then channel by channel."""
        logits, means, log_rate, coefficients = self._split(params)
        edges = logits.softmax(1).cumsum(1)[:, :-1]
        chosen = (edges < noise.uniform(logits[:, :1])).sum(1, keepdim=True)[:, None]
        means, log_rate, coefficients = (
            part.gather(2, chosen.expand(-1, part.shape[1], *chosen.shape[2:]))
            for part in (means, log_rate, coefficients)
        )
        values = means[:, :0]
        for channel in range(self.event[0]):
            mean = _conditional_mean(means, coefficients, values)
            each = logistic.draw(mean, log_rate[:, channel], noise.uniform(mean), self.levels)
            values = torch.cat([values, each[:, None]], 1)
        return _data(values[:, :, 0], self.levels)

    def _split(self, params: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits ``(B, 10, *sizes)``; means and log rates, ``(B, C, 10, *sizes)``; coefficients."""
        channels = self.event[0]
        logits, means, log_scale, coefficients = at_least_float32(params).split(self._parts, 1)
        return (
            logits,
            means.unflatten(1, (channels, COMPONENTS)) / _width(self.levels),
            _log_rate(log_scale.unflatten(1, (channels, COMPONENTS)), self.levels),
            torch.tanh(coefficients.unflatten(1, (channels * (channels - 1) // 2, COMPONENTS))),
        )


def _width(levels: int) -> float:
    """Distance between neighbouring levels, in data units."""
    return 2 / (levels - 1)


def _level(x: Tensor, levels: int) -> Tensor:
    """Positions of the levels nearest to data: distances from 0 in units of `_width`."""
    return logistic.nearest(x / _width(levels), levels)


def _data(position: Tensor, levels: int) -> Tensor:
    """Data from positions. The clamp keeps rounding within -1 and 1."""
    return (position * _width(levels)).clamp(-1, 1)


def _log_rate(log_scale: Tensor, levels: int) -> Tensor:
    """Logarithm of the rate, which is the distance between levels over the logistic's scale."""
    return math.log(_width(levels)) - log_scale.clamp_min(LEAST_LOG_SCALE)


def _conditional_mean(means: Tensor, coefficients: Tensor, earlier: Tensor) -> Tensor:
    """Means of the next channel by component, ``mean_c + sum_d a_cd x_d``, ``(B, K, *sizes)``.

    Args:
        means: of all channels, ``(B, C, K, *sizes)``.
        coefficients: of all pairs, ``(B, C (C - 1) / 2, K, *sizes)``.
        earlier: values of the c channels before it, ``(B, c, K or 1, *sizes)``.
    """
    channel = earlier.shape[1]
    first = channel * (channel - 1) // 2
    return means[:, channel] + (coefficients[:, first : first + channel] * earlier).sum(1)
