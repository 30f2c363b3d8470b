"""What a decoder's numbers mean: a law of the data, pixel by pixel, given the latents."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sgmkit.noise import Noise


@dataclass(frozen=True)
class Observation(ABC):
    """A law of items ``(C, *sizes)``, whose pixels are independent given what a decoder told.

    Args:
        event: shape of an item, ``(C, *sizes)``.

    Attributes:
        name: what a user calls it.
        discrete: whether `log_prob` is of the data's own values, not a density.
    """

    event: tuple[int, ...]
    name: ClassVar[str]
    discrete: ClassVar[bool] = True

    @property
    @abstractmethod
    def numbers(self) -> int:
        """Numbers that a decoder must give for each pixel."""

    @abstractmethod
    def log_prob(self, told: Tensor, x: Tensor) -> Tensor:
        """Of ``x (B, *event)`` given ``told (B, *out_shape)``: nats, ``(B,)``.

        The log-probability of a discrete item, the log-density of a continuous one.
        """

    @abstractmethod
    def mean(self, told: Tensor) -> Tensor:
        """Mean of the law, ``(B, *event)``, in data units."""

    @abstractmethod
    def sample(self, told: Tensor, noise: Noise) -> Tensor:
        """A draw, ``(B, *event)``, on the levels where there are some; one sample id a row."""

    @property
    def out_shape(self) -> tuple[int, ...]:
        """What a decoder must give for an item: ``(numbers, *sizes)``."""
        return (self.numbers, *self.event[1:])


def wide(told: Tensor) -> Tensor:
    """In float32 at least, whatever the precision of the decoder."""
    return told.to(torch.promote_types(told.dtype, torch.float32))
