"""Recorded noise: a solver is run on the draws of another implementation."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from sgmkit.errors import BadValue, UserError
from sgmkit.noise.base import Noise, check_like, positions


class NoiseExhausted(UserError, IndexError):
    """A solver draws more often than there are recorded draws."""


class RecordedNoise(Noise):
    """Replays recorded draws in their order, whatever the stream and the distribution.

    Args:
        draws: ``(B, ...)`` each, with the same B; the sample ids are 0 to B - 1. A draw may have
            another shape than the event, if it has as many elements. An empty sequence suits a
            solver that draws nothing, for any B.
    """

    recorded = True

    def __init__(self, draws: Sequence[Tensor]) -> None:
        shapes = [tuple(draw.shape) for draw in draws]
        if len({shape[:1] for shape in shapes}) > 1 or not all(shapes):
            raise BadValue(f"recorded draws must be (B, ...) with one B, not {shapes}")
        self._draws, self.ids = list(draws), torch.arange(shapes[0][0] if shapes else 0)
        self._drawn = torch.zeros_like(self.ids)

    def __call__(self, like: Tensor) -> Tensor:
        if not self._draws:
            raise NoiseExhausted("no draws were recorded; record what the solver draws")
        check_like(like, len(self.ids))
        rows, count = list[Tensor](), len(self._draws)
        for i, number in zip(self.ids.tolist(), self._drawn[self.ids].tolist(), strict=True):
            if number == count:
                raise NoiseExhausted(f"all {count} recorded draws are used; record more of them")
            row, event = self._draws[number][i], like.shape[1:]
            if row.numel() != event.numel():
                shapes = f"{tuple(row.shape)}, not {tuple(event)}"
                raise BadValue(f"recorded draw {number} has event shape {shapes}")
            rows.append(row.reshape(event))
        self._drawn[self.ids] += 1
        return torch.stack(rows).to(like) if rows else torch.empty_like(like)

    uniform = __call__

    def select(self, index: Tensor) -> Self:
        part = object.__new__(type(self))
        part._draws, part._drawn = self._draws, self._drawn
        part.ids = self.ids[positions(index, len(self.ids))] if self._draws else self.ids
        return part

    def stream(self, name: str) -> Self:
        return self
