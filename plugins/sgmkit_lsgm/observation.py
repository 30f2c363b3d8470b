"""The laws of data: Bernoulli and Gaussian, and the choice of the law that suits a data set."""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from sgmkit.errors import BadValue
from sgmkit.noise import Noise
from sgmkit_lsgm.law import Observation, at_least_float32
from sgmkit_lsgm.levels import Logistic, Mixture

Name = Literal["auto", "bernoulli", "mixture", "logistic", "gaussian"]
LOG_STD_LIMIT = 7.0
"""Smooth bound on the logarithm of a Gaussian's standard deviation, on either side."""


class Bernoulli(Observation):
    """Pixels that are -1 or 1; the decoder's output is the logit of the probability of 1.

    A grey value between them counts as a probability of 1: `log_prob` is then the mean of the
    log-probabilities of its random binarisations.
    """

    name = "bernoulli"

    @property
    def out_channels(self) -> int:
        """One for each channel."""
        return self.event[0]

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """``sum s log p + (1 - s) log(1 - p)`` with ``s = (x + 1) / 2``, nats, ``(B,)``."""
        logits, share = at_least_float32(params), (x + 1) / 2
        each = share * logsigmoid(logits) + (1 - share) * logsigmoid(-logits)
        return each.flatten(1).sum(1)

    def mean(self, params: Tensor) -> Tensor:
        """``2 p - 1 = tanh(logit / 2)``, ``(B, *event)``."""
        return torch.tanh(at_least_float32(params) / 2)

    def sample(self, params: Tensor, noise: Noise) -> Tensor:
        """Minus ones and ones, ``(B, *event)``."""
        share = at_least_float32(params).sigmoid()
        return torch.where(noise.uniform(share) < share, 1.0, -1.0).to(share)


class Gaussian(Observation):
    """Real numbers with a mean and a standard deviation each, both from the decoder.

    The logarithm of the standard deviation is bounded smoothly: ``7 tanh(a / 7)`` of the decoder's
    output a.
    """

    name = "gaussian"
    discrete = False

    @property
    def out_channels(self) -> int:
        """Two for each channel: the means, then the unbounded log standard deviations."""
        return 2 * self.event[0]

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """Log-density, nats, ``(B,)``."""
        mean, log_std = self._mean_log_std(params)
        white = (x - mean) * (-log_std).exp()
        each = -0.5 * white.square() - log_std - 0.5 * math.log(2 * math.pi)
        return each.flatten(1).sum(1)

    def mean(self, params: Tensor) -> Tensor:
        """The means, ``(B, *event)``."""
        return self._mean_log_std(params)[0]

    def sample(self, params: Tensor, noise: Noise) -> Tensor:
        """Real numbers, ``(B, *event)``."""
        mean, log_std = self._mean_log_std(params)
        return mean + log_std.exp() * noise(mean)

    def _mean_log_std(self, params: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = at_least_float32(params).chunk(2, 1)
        return mean, LOG_STD_LIMIT * torch.tanh(log_std / LOG_STD_LIMIT)


def observation(
    name: Name, event: tuple[int, ...], likelihood: str, levels: int | None
) -> Observation:
    """The law of this name, checked against the likelihood that the data set states.

    Args:
        name: ``auto`` is Bernoulli for binarised data, the mixture of logistics for grey levels,
            and Gaussian for continuous data.
        event: shape of an item, ``(C, *sizes)``.
        likelihood: as in `Dataset.likelihood`: ``bernoulli``, ``discretised`` or ``continuous``.
        levels: number of levels of discretised data.

    Raises:
        BadValue: for a law that does not suit such data.
    """
    suitable = _SUITABLE[likelihood]
    name = suitable if name == "auto" else name
    binary = likelihood == "bernoulli" or (likelihood, levels) == ("discretised", 2)
    suits = {"bernoulli": binary, "gaussian": likelihood == "continuous"}
    if not suits.get(name, likelihood == "discretised"):
        raise BadValue(
            f"decoder {name!r} is for {_DATA_OF[name]}; these data are {_KIND[likelihood]}: take "
            f"decoder {suitable!r}"
        )
    if name == "bernoulli":
        return Bernoulli(event)
    if name == "gaussian":
        return Gaussian(event)
    if levels is None or levels < 2:
        raise BadValue(f"decoder {name!r} needs two levels at least; the data set states {levels}")
    return Logistic(event, levels) if name == "logistic" else Mixture(event, levels)


_SUITABLE: dict[str, Name] = {
    "bernoulli": "bernoulli",
    "discretised": "mixture",
    "continuous": "gaussian",
}
_KIND = {"bernoulli": "binarised", "discretised": "of grey levels", "continuous": "continuous"}
_DATA_OF = {
    "bernoulli": "binarised data (option binarise of the data set)",
    "mixture": "grey levels (neither binarised nor dequantised)",
    "logistic": "grey levels (neither binarised nor dequantised)",
    "gaussian": "continuous data (option dequantise of the data set)",
}
