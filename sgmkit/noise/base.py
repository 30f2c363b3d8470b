"""The base class of noise: random numbers that belong to samples, and not to a global state."""

from abc import ABC, abstractmethod
from typing import ClassVar, Self

import torch
from torch import Tensor

from sgmkit.errors import BadValue


class Noise(ABC):
    """Random numbers for a batch of B samples: the argument of every function that draws.

    Attributes:
        ids: ids of the samples, ``(B,)`` int64: row i of a draw is for the sample ``ids[i]``. Do
            not write to it.
        recorded: whether the draws are a fixed recording. If so, a solver must draw each Gaussian
            of its published algorithm; else it may draw the sum of two Gaussians as one.
    """

    ids: Tensor
    recorded: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, like: Tensor) -> Tensor:
        """Standard normal numbers in the shape ``(B, ...)``, dtype and device of ``like``."""

    @abstractmethod
    def uniform(self, like: Tensor) -> Tensor:
        """Uniform numbers in (0, 1), both ends excluded; shape, dtype and device of ``like``."""

    @abstractmethod
    def select(self, index: Tensor) -> Self:
        """The same noise for some of the samples.

        The draws of a sample are counted in one place for all such views: none is ever repeated.

        Args:
            index: distinct positions ``(b,)`` int64, or a mask ``(B,)`` bool.
        """

    @abstractmethod
    def stream(self, name: str) -> Self:
        """Independent noise for one purpose. The same name gives the same stream and counters."""

    def expect(self, draws: int) -> None:  # noqa: B027 - not abstract: most have no use for it
        """Announce that about so many draws of one kind follow: a hint that changes no number."""


def check_like(like: Tensor, count: int) -> None:
    """Raise `BadValue` unless ``like`` is floating and has a row for each of ``count`` samples."""
    if like.shape[:1] != (count,) or not like.dtype.is_floating_point:
        shape = tuple(like.shape)
        raise BadValue(f"noise for {count} samples cannot be drawn like {like.dtype} {shape}")


def positions(index: Tensor, count: int) -> Tensor:
    """Positions ``(b,)`` on the CPU, from positions or from a mask ``(count,)``."""
    mask = index.dtype == torch.bool and index.shape == (count,)
    if not mask and (index.dtype != torch.int64 or index.ndim != 1):
        raise BadValue(
            f"select takes positions (b,) int64 or a mask ({count},) bool, "
            f"not {tuple(index.shape)} {index.dtype}"
        )
    return (index.nonzero()[:, 0] if mask else index).cpu()
