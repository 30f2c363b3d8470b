"""Euler-Maruyama."""

from dataclasses import dataclass

from torch import Tensor

from sgmkit import Reverse, StepSolver


@dataclass(frozen=True)
class Euler(StepSolver):
    """Euler-Maruyama on the reverse SDE: weak order one (Kloeden & Platen 1992, sec. 14.1)."""

    stochastic = True

    def step(self, rev: Reverse, u: Tensor, t: Tensor, s: Tensor) -> Tensor:
        return rev.leap(u, t, s)
