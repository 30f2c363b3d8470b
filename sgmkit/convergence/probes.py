"""Noise that shows what a solver does with it: whether it draws, and what each draw moves."""

from typing import Self

import torch
from torch import Tensor

from sgmkit.convergence.outcomes import CheckFailed, NotApplicable, require
from sgmkit.noise import Noise

LOUD = 0.5
"""All draws of the row that shows whether responses add up."""


class SilentNoise(Noise):
    """Noise for a solver that declares to draw none: any draw raises `CheckFailed`."""

    def __init__(self, count: int) -> None:
        self.ids = torch.arange(count)

    def __call__(self, like: Tensor) -> Tensor:
        raise CheckFailed("it draws noise, but declares stochastic = False")

    def uniform(self, like: Tensor) -> Tensor:
        return self(like)

    def select(self, index: Tensor) -> Self:
        return type(self)(len(self.ids[index]))

    def stream(self, name: str) -> Self:
        return self


class ImpulseNoise(Noise):
    """Noise of zeros with a single one in each row: a row's answer is the response to that number.

    Element e of draw n is one in the row ``first + offset_n + e`` and zero in all other rows,
    whatever the stream. The last of the first rows gets `LOUD` everywhere. A run with the first
    rows alone, all of them silent, records in ``sizes`` how many numbers each draw takes.

    Args:
        first: number of rows before the impulses.
        sizes: elements of one row of each draw, from the first run.
    """

    def __init__(self, first: int, sizes: tuple[int, ...] = ()) -> None:
        self.ids = torch.arange(first + sum(sizes))
        self.sizes: list[int] = []
        self._first, self._planned = first, sizes

    def __call__(self, like: Tensor) -> Tensor:
        out, size = like.new_zeros(like.shape), like[0].numel()
        if self._planned:
            number = len(self.sizes)
            same = number < len(self._planned) and self._planned[number] == size
            require(same, "how often or how much it draws depends on the batch")
            row = self._first + sum(self._planned[:number])
            out.view(len(out), -1)[row : row + size] = torch.eye(size, dtype=out.dtype)
            out[self._first - 1] = LOUD
        self.sizes.append(size)
        return out

    def uniform(self, like: Tensor) -> Tensor:
        raise NotApplicable("it draws uniform numbers: its law cannot be propagated")

    def select(self, index: Tensor) -> Self:
        raise NotApplicable("it works on parts of the batch: its law cannot be propagated")

    def stream(self, name: str) -> Self:
        return self
