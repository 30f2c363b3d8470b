"""What an autoencoder is: from data to a law of latents, and from latents to a law of data."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sgmkit.noise import Noise


@dataclass(frozen=True)
class Latents:
    """Latents of one scale for a batch, drawn from the encoder's law q(z | x).

    Groups of consecutive channels are drawn one after the other. Each coordinate is
    ``N(mean, std^2)`` given the data and the groups before its own.

    Args:
        z: the draw, ``(B, C, *sizes)``.
        mean, std: mean and standard deviation of each coordinate, ``(B, C, *sizes)``.
        groups: number of channels of each group, in the order of drawing; they sum to C.
        base: the Normal draw that a volume-preserving flow turned into ``z``; None where there is
            no flow, and ``z`` itself is Normal.
    """

    z: Tensor
    mean: Tensor
    std: Tensor
    groups: tuple[int, ...]
    base: Tensor | None = None

    @property
    def log_q(self) -> Tensor:
        """``log q(z | x)`` of each coordinate, nats, ``(B, C, *sizes)``.

        Behind a flow, which preserves volume, only the sum over coordinates is that of z.
        """
        draw = self.z if self.base is None else self.base
        white = (draw - self.mean) / self.std
        return -0.5 * white.square() - self.std.log() - 0.5 * math.log(2 * math.pi)

    @property
    def divergence(self) -> Tensor:
        """``KL(q || N(0, 1))`` of each coordinate, nats, ``(B, C, *sizes)``.

        In closed form, ``(mean^2 + std^2 - 1) / 2 - log std``; behind a flow, the estimate
        ``log q(z | x) - log N(z; 0, 1)`` from the one draw.
        """
        if self.base is not None:
            return self.log_q + 0.5 * (self.z.square() + math.log(2 * math.pi))
        return 0.5 * (self.mean.square() + self.std.square() - 1) - self.std.log()


class Autoencoder(nn.Module, ABC):
    """An encoder into Gaussian latents of one or more scales, and a decoder.

    The latent model builds it, for only the model knows the shapes: the constructor of a subclass
    takes ``in_shape`` and ``out_shape`` first and its own options after them. A latent model learns
    a prior for the coarsest scale, which comes first; finer scales have the prior N(0, I). An
    autoencoder refuses shapes for which it does not work with a `ValueError` that names them.

    Args:
        in_shape: shape of one item of data, channels first.
        out_shape: shape of the decoder's output for one item: the parameters of the law of each
            pixel, as channels.

    Attributes:
        scales: shapes of the latents of one item, ``(C, *sizes)`` each, the coarsest first.
        averaged: whether averages of the weights over steps may stand in for the weights. Batch
            norm forbids it: its statistics belong to the weights of one step.
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
        """The decoder's output, ``(B, *out_shape)``, from latents ``(B, *scale)`` of each scale."""


def bounded(mean: Tensor, log_std: Tensor, limit: float = 5.0) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of latents, smoothly bounded, from an encoder's raw output.

    ``5 tanh(mean / 5)`` and ``exp(limit tanh(log_std / limit))`` (NVAE, Vahdat and Kautz 2020, as
    LSGM uses it), in float32 or better.
    """
    wide = torch.promote_types(mean.dtype, torch.float32)
    mean, log_std = mean.to(wide), log_std.to(wide)
    return 5 * torch.tanh(mean / 5), torch.exp(limit * torch.tanh(log_std / limit))
