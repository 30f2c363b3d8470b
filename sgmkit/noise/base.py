"""What noise is to the numerics: an argument that knows which samples it is for."""

from abc import ABC, abstractmethod
from typing import ClassVar, Self

import torch
from torch import Tensor

from sgmkit.errors import BadValue


class Noise(ABC):
    """Randomness as an argument: what every piece of numerics takes. B is the number of ids."""

    ids: Tensor
    """The samples that the rows of a draw belong to, ``(B,)`` int64; not to be written to."""
    recorded: ClassVar[bool] = False
    """Whether draws are given, and to be asked for one by one as the published algorithm does;
    else a solver may draw the sum of neighbours at once."""

    @abstractmethod
    def __call__(self, like: Tensor) -> Tensor:
        """Standard normal numbers: shape ``(B, ...)``, dtype and device of ``like``."""

    @abstractmethod
    def uniform(self, like: Tensor) -> Tensor:
        """Numbers in the open interval (0, 1): shape ``(B, ...)``, dtype and device of ``like``."""

    @abstractmethod
    def select(self, index: Tensor) -> Self:
        """The same noise for a sub-batch: distinct positions ``(b,)`` int64, or a mask ``(B,)``.

        Draws are counted per sample, in one place for all views: none is ever repeated.
        """

    @abstractmethod
    def stream(self, name: str) -> Self:
        """Independent noise for one purpose; the same name is the same stream and counter."""

    def expect(self, draws: int) -> None:  # noqa: B027 - not abstract: most have no use for it
        """About so many draws of one kind come next: changes the cost and no number."""


def check_like(like: Tensor, count: int) -> None:
    """Complain unless ``like`` has a row for each of ``count`` samples and is floating."""
    if like.shape[:1] != (count,) or not like.dtype.is_floating_point:
        shape = tuple(like.shape)
        raise BadValue(f"noise for {count} samples cannot be drawn like {like.dtype} {shape}")


def positions(index: Tensor, count: int) -> Tensor:
    """Positions ``(b,)`` on the CPU, from a mask ``(count,)`` or from positions."""
    mask = index.dtype == torch.bool and index.shape == (count,)
    if not mask and (index.dtype != torch.int64 or index.ndim != 1):
        raise BadValue(
            f"select takes positions (b,) int64 or a mask ({count},) bool, "
            f"not {tuple(index.shape)} {index.dtype}"
        )
    return (index.nonzero()[:, 0] if mask else index).cpu()
