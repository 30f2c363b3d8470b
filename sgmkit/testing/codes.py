"""Data, latents and noise for the checks of an autoencoder."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from sgmkit.models import Autoencoder, Latents
from sgmkit.noise import Noise, SeededNoise
from sgmkit.testing.result import NotApplicable
from sgmkit.testing.weights import numbers

COUNT = 5


class TracedNoise(Noise):
    """Noise that remembers the Normal numbers that it draws, as leaves that have gradients.

    Args:
        source: where the numbers come from.
        same_rows: give every row the numbers of the first.

    Attributes:
        drawn: the numbers of each draw.
    """

    def __init__(self, source: Noise, same_rows: bool = False) -> None:
        self.ids = source.ids
        self.drawn: list[Tensor] = []
        self._source, self._same_rows = source, same_rows

    def __call__(self, like: Tensor) -> Tensor:
        out = self._source(like.detach())
        out = (out[:1].expand_as(out) if self._same_rows else out).clone().requires_grad_()
        self.drawn.append(out)
        return out

    def uniform(self, like: Tensor) -> Tensor:
        raise NotApplicable("it draws uniform numbers, and only Normal ones can be traced")

    def select(self, index: Tensor) -> Self:
        raise NotApplicable("it draws noise for parts of the batch, which cannot be traced")

    def stream(self, name: str) -> Self:
        return self


def data(autoencoder: Autoencoder, count: int = COUNT) -> Tensor:
    """Normal numbers, ``(count, *in_shape)`` float64."""
    return numbers(torch.empty(count, *autoencoder.in_shape, dtype=torch.float64), "data")


def code(autoencoder: Autoencoder, count: int = COUNT) -> list[Tensor]:
    """Normal latents of each scale, ``(count, *scale)`` float64."""
    scales = enumerate(autoencoder.scales)
    wide = torch.float64
    return [numbers(torch.empty(count, *scale, dtype=wide), f"code {i}") for i, scale in scales]


def noise(ids: Sequence[int] | Tensor = range(COUNT), seed: int = 0) -> SeededNoise:
    """Noise of these samples."""
    return SeededNoise(seed, ids)


def encode(autoencoder: Autoencoder, x: Tensor, source: Noise | None = None) -> tuple[Latents, ...]:
    """Latents in evaluation mode, without a graph."""
    with torch.no_grad():
        return tuple(autoencoder.eval().encode(x, source or noise(range(len(x)))))


def decode(autoencoder: Autoencoder, z: Sequence[Tensor]) -> Tensor:
    """The decoder's output in evaluation mode, without a graph."""
    with torch.no_grad():
        return autoencoder.eval().decode(z)


def flat(parts: Sequence[Tensor]) -> Tensor:
    """All entries of each row, ``(B, n)``, from parts ``(B, ...)``."""
    return torch.cat([part.flatten(1) for part in parts], 1)


def draws(latents: Sequence[Latents]) -> list[Tensor]:
    """The draws z of the latents, one tensor for each scale."""
    return [each.z for each in latents]
