"""Laws of evenly spaced levels from -1 to 1: a discretised logistic, and a mixture of ten."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sgmkit.noise import Noise
from sgmkit_lsgm import logistic
from sgmkit_lsgm.law import Observation, wide

COMPONENTS = 10
"""Of the mixture of logistics."""
LEAST_LOG_SCALE = -7.0
"""Below this a logistic's scale, in data units, gets no smaller (PixelCNN++)."""


@dataclass(frozen=True)
class Logistic(Observation):
    """Evenly spaced levels from -1 to 1: one discretised logistic for each channel of a pixel.

    A value between two levels counts as the nearer one.
    """

    levels: int

    name = "logistic"

    @property
    def numbers(self) -> int:
        """Two for each channel: the means, then the logarithms of the scales, in data units."""
        return 2 * self.event[0]

    def log_prob(self, told: Tensor, x: Tensor) -> Tensor:
        """Log-probability of the levels, nats, ``(B,)``."""
        mean, log_rate = self._read(told)
        each = logistic.log_mass(_level(x, self.levels), mean, log_rate, self.levels)
        return each.flatten(1).sum(1)

    def mean(self, told: Tensor) -> Tensor:
        """Mean over the levels, exactly, ``(B, *event)``."""
        return _data(logistic.expectation(*self._read(told), self.levels), self.levels)

    def sample(self, told: Tensor, noise: Noise) -> Tensor:
        """Levels, ``(B, *event)``."""
        mean, log_rate = self._read(told)
        level = logistic.draw(mean, log_rate, noise.uniform(mean), self.levels)
        return _data(level, self.levels)

    def _read(self, told: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_scale = wide(told).chunk(2, 1)
        return mean / _width(self.levels), _log_rate(log_scale, self.levels)


@dataclass(frozen=True)
class Mixture(Observation):
    """Levels as those of `Logistic`: ten discretised logistics, shared by a pixel's channels.

    Within a component the mean of a channel moves with the channels before it, by coefficients
    ``tanh(.)`` times their values (Salimans et al. 2017, sec. 2.2, for any number of channels).
    """

    levels: int

    name = "mixture"

    @property
    def numbers(self) -> int:
        """Logits; means, then logarithms of the scales of each channel; a coefficient each pair.

        Ten of everything: 100 for three channels, 30 for one. Pairs: (1, 0), (2, 0), (2, 1), ...
        """
        return sum(self._parts)

    @property
    def _parts(self) -> tuple[int, int, int, int]:
        each, channels = COMPONENTS, self.event[0]
        return each, each * channels, each * channels, each * channels * (channels - 1) // 2

    def log_prob(self, told: Tensor, x: Tensor) -> Tensor:
        """Log-probability of the levels, nats, ``(B,)``."""
        logits, means, log_rate, pull = self._read(told)
        level = _level(x, self.levels)[:, :, None]
        total = logits.log_softmax(1)
        for channel in range(self.event[0]):
            mean = _moved(means, pull, level[:, :channel])
            rate = log_rate[:, channel]
            total = total + logistic.log_mass(level[:, channel], mean, rate, self.levels)
        return total.logsumexp(1).flatten(1).sum(1)

    def mean(self, told: Tensor) -> Tensor:
        """Mean over the levels, ``(B, *event)``: exact in the first channel.

        A later one takes the channels before it at their means in its component. That is exact as
        well but for what the ends of the range cut off. (The published code averages means and
        coefficients over components first, which is no mean of the law.)
        """
        logits, means, log_rate, pull = self._read(told)
        found = means[:, :0]
        for channel in range(self.event[0]):
            mean = _moved(means, pull, found)
            each = logistic.expectation(mean, log_rate[:, channel], self.levels)
            found = torch.cat([found, each[:, None]], 1)
        return _data((logits.softmax(1)[:, None] * found).sum(2), self.levels)

    def sample(self, told: Tensor, noise: Noise) -> Tensor:
        """Levels, ``(B, *event)``: a component for each pixel, then its channels in order."""
        logits, means, log_rate, pull = self._read(told)
        edges = logits.softmax(1).cumsum(1)[:, :-1]
        chosen = (edges < noise.uniform(logits[:, :1])).sum(1, keepdim=True)[:, None]
        means, log_rate, pull = (
            part.gather(2, chosen.expand(-1, part.shape[1], *chosen.shape[2:]))
            for part in (means, log_rate, pull)
        )
        found = means[:, :0]
        for channel in range(self.event[0]):
            mean = _moved(means, pull, found)
            each = logistic.draw(mean, log_rate[:, channel], noise.uniform(mean), self.levels)
            found = torch.cat([found, each[:, None]], 1)
        return _data(found[:, :, 0], self.levels)

    def _read(self, told: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits ``(B, 10, *sizes)``; means, log rates ``(B, C, 10, *sizes)``, and coefficients."""
        channels = self.event[0]
        logits, means, log_scale, pull = wide(told).split(self._parts, 1)
        return (
            logits,
            means.unflatten(1, (channels, COMPONENTS)) / _width(self.levels),
            _log_rate(log_scale.unflatten(1, (channels, COMPONENTS)), self.levels),
            torch.tanh(pull.unflatten(1, (channels * (channels - 1) // 2, COMPONENTS))),
        )


def _width(levels: int) -> float:
    """Distance of two levels, in data units."""
    return 2 / (levels - 1)


def _level(x: Tensor, levels: int) -> Tensor:
    """Positions of data, in widths from the middle."""
    return logistic.nearest(x / _width(levels), levels)


def _data(position: Tensor, levels: int) -> Tensor:
    """Data of positions; rounding leads none beyond the ends."""
    return (position * _width(levels)).clamp(-1, 1)


def _log_rate(log_scale: Tensor, levels: int) -> Tensor:
    return math.log(_width(levels)) - log_scale.clamp_min(LEAST_LOG_SCALE)


def _moved(means: Tensor, pull: Tensor, earlier: Tensor) -> Tensor:
    """Means of the next channel, ``(B, K, *sizes)``, given the ``c`` before it."""
    channel = earlier.shape[1]
    first = channel * (channel - 1) // 2
    return means[:, channel] + (pull[:, first : first + channel] * earlier).sum(1)
