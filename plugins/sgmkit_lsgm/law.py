"""The law of the data given the latents, whose parameters are the decoder's output."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sgmkit.noise import Noise


@dataclass(frozen=True)
class Observation(ABC):
    """A law of an item ``(C, *sizes)``: given the decoder's output, its pixels are independent.

    Args:
        event: shape of an item, ``(C, *sizes)``.

    Attributes:
        name: value of the option ``decoder`` that selects the law.
        discrete: whether `log_prob` is the probability of the data's own values, not a density.
    """

    event: tuple[int, ...]
    name: ClassVar[str]
    discrete: ClassVar[bool] = True

    @property
    @abstractmethod
    def out_channels(self) -> int:
        """Channels of the decoder's output: parameters of the law for each pixel."""

    @abstractmethod
    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """Log-probability of a discrete item, log-density of a continuous one: nats, ``(B,)``.

        Args:
            params: the decoder's output, ``(B, *out_shape)``.
            x: items, ``(B, *event)``.
        """

    @abstractmethod
    def mean(self, params: Tensor) -> Tensor:
        """Mean of the law, ``(B, *event)``, in data units."""

    @abstractmethod
    def sample(self, params: Tensor, noise: Noise) -> Tensor:
        """A draw, ``(B, *event)``; of a discrete law one of its levels. One sample id a row."""

    @property
    def out_shape(self) -> tuple[int, ...]:
        """Shape of the decoder's output for an item: ``(out_channels, *sizes)``."""
        return (self.out_channels, *self.event[1:])


def at_least_float32(params: Tensor) -> Tensor:
    """The parameters in float32 or a wider type: a decoder under autocast returns bfloat16."""
    return params.to(torch.promote_types(params.dtype, torch.float32))
