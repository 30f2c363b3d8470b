"""Brownian paths for adaptive SDE solvers, which choose each step after seeing the last one."""

from typing import Self

import torch
from torch import Tensor

from sgmkit._util.shapes import over_event
from sgmkit.noise.base import Noise


class BrownianPath:
    """One Brownian path for each sample, drawn increment by increment.

    If a step is rejected, its increment stays a part of the path: the shorter step that follows is
    drawn from the Brownian bridge, and the rest is kept for later steps (rejection sampling with
    memory, Rackauckas & Nie 2017). To draw a rejected step anew would bias the path towards small
    increments, which are accepted more often.

    A solver calls `step` for the length of the next step, `draw` for its increment, and `settle`
    once it knows which samples accepted it.

    Args:
        like: a tensor of the shape of an increment, ``(B, ...)``.
    """

    def __init__(self, like: Tensor) -> None:
        self._like = like
        # Stacks of the increments ahead that are known, and of the times that they span, with the
        # next one last; a sample that has none at some depth has a span of 0 there.
        self._lengths: list[Tensor] = []
        self._pieces: list[Tensor] = []
        self._now: tuple[Tensor, Tensor] | None = None

    def step(self, length: Tensor) -> Tensor:
        """The length ``(B,)``, shortened where it reaches beyond the next known point."""
        known = self._nearest()[0]
        return torch.where(known > 0, torch.minimum(length, known), length)

    def draw(self, noise: Noise, h: Tensor) -> Tensor:
        """The increment ``(B, ...)`` over the next ``h (B,)``, lengths that `step` returned.

        Takes one draw of ``noise``.
        """
        z = noise(self._like)
        length, piece = self._nearest()
        bridged = length > 0
        # Brownian bridge: N(share piece, h (1 - share)), or N(0, h) where nothing is known.
        share = torch.where(bridged, h / torch.where(bridged, length, 1.0), 0.0)
        spread = torch.where(bridged, h * (1 - share).clamp_min(0), h).sqrt()
        increment = over_event(share, z) * piece + over_event(spread, z) * z
        if self._lengths:
            rest = torch.where(bridged, length - h, 0.0)
            self._lengths[-1] = torch.where(rest > 1e-12 * length, rest, 0.0)
            self._pieces[-1] = torch.where(over_event(bridged, z), piece - increment, piece)
        self._now = h, increment
        return increment

    def settle(self, taken: Tensor) -> None:
        """Go on along the path where the step was accepted, ``taken (B,)``; elsewhere keep it."""
        assert self._now is not None
        h, increment = self._now
        self._lengths.append(torch.where(taken, 0.0, h))
        self._pieces.append(increment)
        self._sink()

    def select(self, index: Tensor) -> Self:
        """The paths of some samples: positions ``(b,)`` int64, or a mask ``(B,)`` bool."""
        part = type(self)(self._like[index])
        part._lengths = [length[index] for length in self._lengths]
        part._pieces = [piece[index] for piece in self._pieces]
        return part

    def _nearest(self) -> tuple[Tensor, Tensor]:
        """Span ``(B,)`` of the next known increment, 0 where there is none, and the increment."""
        if not self._lengths:
            zero = torch.zeros(len(self._like), dtype=torch.float64, device=self._like.device)
            return zero, torch.zeros_like(self._like)
        return self._lengths[-1], self._pieces[-1]

    def _sink(self) -> None:
        """Move each sample's known increments to the end of the stacks, and shorten the stacks."""
        for _ in self._lengths:
            for i in reversed(range(len(self._lengths) - 1)):
                empty = self._lengths[i + 1] == 0
                low, high = self._lengths[i], self._lengths[i + 1]
                self._lengths[i + 1] = torch.where(empty, low, high)
                self._lengths[i] = torch.where(empty, 0.0, low)
                unknown = over_event(empty, self._like)
                low, high = self._pieces[i], self._pieces[i + 1]
                self._pieces[i + 1] = torch.where(unknown, low, high)
        while self._lengths and not bool(self._lengths[0].any()):
            self._lengths.pop(0)
            self._pieces.pop(0)
