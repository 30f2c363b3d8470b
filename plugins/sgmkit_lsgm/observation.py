"""The laws that a decoder may state, and which of them suits a data set."""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from sgmkit.errors import BadValue
from sgmkit.noise import Noise
from sgmkit_lsgm.law import Observation, wide
from sgmkit_lsgm.levels import Logistic, Mixture

Name = Literal["auto", "bernoulli", "mixture", "logistic", "gaussian"]
LOG_STD_LIMIT = 7.0
"""Smooth bound on the logarithm of a Gaussian's standard deviation, on either side."""


class Bernoulli(Observation):
    """Pixels -1 and 1; the decoder's numbers are logits of 1.

    A grey between them counts as a probability of 1: its value is the mean over its binarisations.
    """

    name = "bernoulli"

    @property
    def numbers(self) -> int:
        """One for each channel."""
        return self.event[0]

    def log_prob(self, told: Tensor, x: Tensor) -> Tensor:
        """Negative cross entropy, nats, ``(B,)``."""
        logits, share = wide(told), (x + 1) / 2
        each = share * logsigmoid(logits) + (1 - share) * logsigmoid(-logits)
        return each.flatten(1).sum(1)

    def mean(self, told: Tensor) -> Tensor:
        """``2 p - 1``, ``(B, *event)``."""
        return torch.tanh(wide(told) / 2)

    def sample(self, told: Tensor, noise: Noise) -> Tensor:
        """Minus ones and ones, ``(B, *event)``."""
        share = wide(told).sigmoid()
        return torch.where(noise.uniform(share) < share, 1.0, -1.0).to(share)


class Gaussian(Observation):
    """Real numbers: a mean for each, and the logarithm of a standard deviation.

    That logarithm is ``7 tanh(. / 7)`` of the decoder's number: the data decide how sharp it gets.
    """

    name = "gaussian"
    discrete = False

    @property
    def numbers(self) -> int:
        """Two for each channel: the means, then the logarithms."""
        return 2 * self.event[0]

    def log_prob(self, told: Tensor, x: Tensor) -> Tensor:
        """Log-density, nats, ``(B,)``."""
        mean, log_std = self._read(told)
        white = (x - mean) * (-log_std).exp()
        each = -0.5 * white.square() - log_std - 0.5 * math.log(2 * math.pi)
        return each.flatten(1).sum(1)

    def mean(self, told: Tensor) -> Tensor:
        """The means as they are, ``(B, *event)``."""
        return self._read(told)[0]

    def sample(self, told: Tensor, noise: Noise) -> Tensor:
        """Real numbers, ``(B, *event)``."""
        mean, log_std = self._read(told)
        return mean + log_std.exp() * noise(mean)

    def _read(self, told: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = wide(told).chunk(2, 1)
        return mean, LOG_STD_LIMIT * torch.tanh(log_std / LOG_STD_LIMIT)


def observation(
    name: Name, event: tuple[int, ...], likelihood: str, levels: int | None
) -> Observation:
    """The law of that name, for data that call for a likelihood as `Dataset.likelihood` does.

    Args:
        name: ``auto`` is Bernoulli for binarised data, the mixture of logistics for levels, and
            Gaussian for continuous data.
        event: shape of an item, ``(C, *sizes)``.
        likelihood: ``bernoulli``, ``discretised`` or ``continuous``.
        levels: their number where the data are discretised.

    Raises:
        BadValue: for a law that is none of such data.
    """
    fitting = _FITTING[likelihood]
    name = fitting if name == "auto" else name
    binary = likelihood == "bernoulli" or (likelihood, levels) == ("discretised", 2)
    good = {"bernoulli": binary, "gaussian": likelihood == "continuous"}
    if not good.get(name, likelihood == "discretised"):
        raise BadValue(
            f"decoder {name!r} is for {_MEANT[name]}; these data are {_HAVE[likelihood]}: take "
            f"decoder {fitting!r}"
        )
    if name == "bernoulli":
        return Bernoulli(event)
    if name == "gaussian":
        return Gaussian(event)
    if levels is None or levels < 2:
        raise BadValue(f"decoder {name!r} needs two levels at least; the data set states {levels}")
    return Logistic(event, levels) if name == "logistic" else Mixture(event, levels)


_FITTING: dict[str, Name] = {
    "bernoulli": "bernoulli",
    "discretised": "mixture",
    "continuous": "gaussian",
}
_HAVE = {"bernoulli": "binarised", "discretised": "of grey levels", "continuous": "continuous"}
_MEANT = {
    "bernoulli": "binarised data (option binarise of the data set)",
    "mixture": "grey levels (neither binarised nor dequantised)",
    "logistic": "grey levels (neither binarised nor dequantised)",
    "gaussian": "continuous data (option dequantise of the data set)",
}
