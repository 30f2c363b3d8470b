"""Reference processes for the checks: small, smooth, and unlike each other in every fact.

A solver must give the right answer on each, or say through ``supports`` why it cannot. The clocks
are not linear (but one), a horizon is not one, a stationary law has cross terms.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sgmkit.processes import ClockedSDE, LinearSDE, Matrix, ScheduleSDE


@dataclass(frozen=True)
class Decay(ClockedSDE):
    """k = 1: the data decays, on a clock whose rate grows (as VP's does)."""

    drift_matrix = ((-0.5,),)
    noise_matrix = ((1.0,),)
    precision = ((1.0,),)

    def clock(self, t: Tensor) -> Tensor:
        return t * (0.4 + 4.0 * t)


@dataclass(frozen=True)
class Spread(ClockedSDE):
    """k = 1: the data stays and noise grows (as VE's does); blurred at t = 0, horizon 6."""

    horizon = 6.0
    drift_matrix = ((0.0,),)
    noise_matrix = ((1.0,),)
    precision = ((0.0,),)
    start_cov = ((1e-4,),)

    def clock(self, t: Tensor) -> Tensor:
        return t.square()


@dataclass(frozen=True)
class Bend(ScheduleSDE):
    """k = 1: two schedules that are no clock's."""

    def alpha(self, t: Tensor) -> Tensor:
        return 1 / (1 + 8 * t.square())

    def sigma(self, t: Tensor) -> Tensor:
        return t * (2 - t)


@dataclass(frozen=True)
class Pair(ClockedSDE):
    """k = 2, r = 1: noise reaches the data through a velocity; the clock gets 11 times faster."""

    phases = 2
    drift_matrix = ((0.0, 2.0), (-1.0, -2.4))
    noise_matrix = ((0.0, 0.0), (0.0, 2.4))
    start_cov = ((0.0, 0.0), (0.0, 0.1))
    precision = ((1.0, 0.0), (0.0, 2.0))

    def clock(self, t: Tensor) -> Tensor:
        return t * (1 + 5 * t)


@dataclass(frozen=True)
class Both(ClockedSDE):
    """k = 2, r = 2: correlated noise in both phases; a stationary law with cross terms."""

    phases = 2
    driven = 2
    noise_matrix = ((1.0, 0.2), (0.2, 1.5))
    start_cov = ((0.0, 0.0), (0.0, 0.2))
    precision = ((1.0, 0.3), (0.3, 1.5))

    @property
    def drift_matrix(self) -> Matrix:
        """``-(B/2 + J) P`` with J skew: its stationary precision is P, whatever J."""
        (b, c), (_, d) = self.noise_matrix
        spin = 0.8
        half = ((b / 2, c / 2 - spin), (c / 2 + spin, d / 2))
        return tuple(
            tuple(-sum(row[n] * self.precision[n][j] for n in (0, 1)) for j in (0, 1))
            for row in half
        )

    def clock(self, t: Tensor) -> Tensor:
        return 3 * torch.expm1(t)


@dataclass(frozen=True)
class Triple(ClockedSDE):
    """k = 3, r = 1: noise reaches the data through two auxiliary phases."""

    phases = 3
    horizon = 2.0
    drift_matrix = ((0.0, 1.0, 0.0), (-1.0, 0.0, 2.0), (0.0, -2.0, -4.0))
    noise_matrix = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 8.0))
    start_cov = ((0.0, 0.0, 0.0), (0.0, 0.1, 0.0), (0.0, 0.0, 0.1))
    precision = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

    def clock(self, t: Tensor) -> Tensor:
        return 4 * t


def processes() -> tuple[LinearSDE, ...]:
    """One of each."""
    return Decay(), Spread(), Bend(), Pair(), Both(), Triple()


def describe(sde: LinearSDE) -> str:
    """The facts of a reference process that matter to a reader: ``k=2 (Pair)``."""
    driven = f", r={sde.driven}" if sde.driven > 1 else ""
    return f"k={sde.phases}{driven} ({type(sde).__name__})"
