"""What an autoencoder is: from data to a law of latents, and back to what a decoder says."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sgmkit.noise import Noise


@dataclass(frozen=True)
class Latents:
    """Latents of one scale, drawn from what an encoder says of a batch.

    Each coordinate is ``N(mean, std^2)`` given the data and the groups before its own: groups are
    consecutive channels, drawn one after the other.

    Args:
        z: the draw, ``(B, C, *sizes)``.
        mean, std: ``(B, C, *sizes)``.
        groups: channels of each group, in the order of drawing; they sum to C.
        base: the Normal draw that a volume-preserving flow made ``z`` of; None where ``z`` is it.
    """

    z: Tensor
    mean: Tensor
    std: Tensor
    groups: tuple[int, ...]
    base: Tensor | None = None

    @property
    def log_q(self) -> Tensor:
        """``log q(z | x)`` by coordinate, nats, ``(B, C, *sizes)``; a flow leaves sums as such."""
        draw = self.z if self.base is None else self.base
        white = (draw - self.mean) / self.std
        return -0.5 * white.square() - self.std.log() - 0.5 * math.log(2 * math.pi)

    @property
    def divergence(self) -> Tensor:
        """``KL(q || N(0, 1))`` by coordinate, nats, ``(B, C, *sizes)``.

        In closed form; behind a flow, an estimate from the one draw.
        """
        if self.base is not None:
            return self.log_q + 0.5 * (self.z.square() + math.log(2 * math.pi))
        return 0.5 * (self.mean.square() + self.std.square() - 1) - self.std.log()


class Autoencoder(nn.Module, ABC):
    """An encoder into Gaussian latents of one or more scales, and a decoder.

    A model builds it when it knows its shapes, so that a subclass has ``in_shape`` and
    ``out_shape`` first and its options after them. The coarsest scale comes first: a latent model
    gives it a prior of its own; finer scales are N(0, I). It refuses shapes that it cannot serve
    with a `ValueError` that names them.

    Args:
        in_shape: of one item of data, channels first.
        out_shape: of what the decoder says of one item: some numbers for each pixel.

    Attributes:
        scales: shapes of one item's latents, ``(C, *sizes)`` each, the coarsest first.
        averaged: whether averages of the weights are as good as the weights, as they are not for
            batch norm, whose statistics belong to the weights of each step.
    """

    scales: tuple[tuple[int, ...], ...]
    averaged: bool = True

    def __init__(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.in_shape, self.out_shape = tuple(in_shape), tuple(out_shape)

    @abstractmethod
    def encode(self, x: Tensor, noise: Noise) -> tuple[Latents, ...]:
        """Latents of ``x (B, *in_shape)``, one for each of ``scales``, drawn with ``noise``."""

    @abstractmethod
    def decode(self, z: Sequence[Tensor]) -> Tensor:
        """What the decoder says, ``(B, *out_shape)``, of latents ``(B, *scale)`` of each scale."""


def bounded(mean: Tensor, log_std: Tensor, limit: float = 5.0) -> tuple[Tensor, Tensor]:
    """Smooth bounds on what an encoder says (NVAE, Vahdat and Kautz 2020; LSGM's scales).

    ``5 tanh(mean / 5)`` and ``exp(limit tanh(log_std / limit))``, in float32 at least.
    """
    wide = torch.promote_types(mean.dtype, torch.float32)
    mean, log_std = mean.to(wide), log_std.to(wide)
    return 5 * torch.tanh(mean / 5), torch.exp(limit * torch.tanh(log_std / limit))
