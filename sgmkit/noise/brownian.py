"""Brownian paths whose steps are chosen as they are walked: for adaptive SDE solvers."""

from typing import Self

import torch
from torch import Tensor

from sgmkit._util.shapes import over_event
from sgmkit.noise.base import Noise


class BrownianPath:
    """Increments of one Brownian path for each sample, in the order in which they are walked.

    A step that is refused stays on the path: a shorter one is drawn from the Brownian bridge, and
    the rest is kept, to be walked later (rejection with memory: Rackauckas & Nie 2017). To draw a
    refused step anew would make wild paths rarer than they are.

    Args:
        like: one field of increments, ``(B, ...)``.
    """

    def __init__(self, like: Tensor) -> None:
        self._like = like
        # Pieces that are known, the nearest last; 0 where there is none.
        self._lengths: list[Tensor] = []
        self._pieces: list[Tensor] = []
        self._now: tuple[Tensor, Tensor] | None = None

    def step(self, wanted: Tensor) -> Tensor:
        """The step that is possible, ``(B,)``: no further than the nearest known point."""
        known = self._nearest()[0]
        return torch.where(known > 0, torch.minimum(wanted, known), wanted)

    def draw(self, noise: Noise, h: Tensor) -> Tensor:
        """The increment over the next ``h (B,)``, as `step` allows; one draw of ``noise``."""
        z = noise(self._like)
        length, piece = self._nearest()
        bridged = length > 0
        share = torch.where(bridged, h / torch.where(bridged, length, 1.0), 0.0)
        spread = torch.where(bridged, h * (1 - share).clamp_min(0), h).sqrt()
        found = over_event(share, z) * piece + over_event(spread, z) * z
        if self._lengths:
            rest = torch.where(bridged, length - h, 0.0)
            self._lengths[-1] = torch.where(rest > 1e-12 * length, rest, 0.0)
            self._pieces[-1] = torch.where(over_event(bridged, z), piece - found, piece)
        self._now = h, found
        return found

    def settle(self, taken: Tensor) -> None:
        """Whether each sample ``(B,)`` took the step; what was not taken is kept."""
        assert self._now is not None
        h, found = self._now
        self._lengths.append(torch.where(taken, 0.0, h))
        self._pieces.append(found)
        self._sink()

    def select(self, index: Tensor) -> Self:
        """The paths of the rows ``index``."""
        part = type(self)(self._like[index])
        part._lengths = [length[index] for length in self._lengths]
        part._pieces = [piece[index] for piece in self._pieces]
        return part

    def _nearest(self) -> tuple[Tensor, Tensor]:
        if not self._lengths:
            zero = torch.zeros(len(self._like), dtype=torch.float64, device=self._like.device)
            return zero, torch.zeros_like(self._like)
        return self._lengths[-1], self._pieces[-1]

    def _sink(self) -> None:
        """Let known pieces sink over empty places, so that the nearest is last, and drop layers."""
        for _ in self._lengths:
            for i in reversed(range(len(self._lengths) - 1)):
                empty = self._lengths[i + 1] == 0
                low, high = self._lengths[i], self._lengths[i + 1]
                self._lengths[i + 1] = torch.where(empty, low, high)
                self._lengths[i] = torch.where(empty, 0.0, low)
                wide = over_event(empty, self._like)
                low, high = self._pieces[i], self._pieces[i + 1]
                self._pieces[i + 1] = torch.where(wide, low, high)
        while self._lengths and not bool(self._lengths[0].any()):
            self._lengths.pop(0)
            self._pieces.pop(0)
