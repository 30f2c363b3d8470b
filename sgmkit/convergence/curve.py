"""Curves of error against network evaluations: slopes with standard errors."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sgmkit.convergence.orders import ROUNDING, fit

LOST = 2.0
"""Errors below so many times their floor are chance for the most part: no slope rests on them."""
RECENT = 3
"""Points, from the finest on, that a slope is taken over."""


@dataclass(frozen=True)
class Point:
    """One error.

    Args:
        budget: network evaluations or tolerance that was asked for.
        steps: of the grid; one for an adaptive solver.
        nfe: mean network evaluations, counted.
        error: what was measured.
        fewer: the error without each block of starts or paths in turn; empty where no chance is.
        floor: root mean square standard error of the expectations: an error below it is chance;
            NaN where no chance is, or no expectation.
    """

    budget: float
    steps: int
    nfe: float
    error: float
    fewer: tuple[float, ...] = ()
    floor: float = math.nan

    @property
    def half(self) -> float:
        """Half the width of the 95 % interval; NaN where no chance is."""
        return 1.96 * jackknife(self.fewer) if self.fewer else math.nan

    @property
    def telling(self) -> bool:
        """Whether it says more than rounding or chance."""
        lost = self.error < max(ROUNDING, LOST * (0.0 if math.isnan(self.floor) else self.floor))
        return math.isfinite(self.error) and not lost


@dataclass
class Curve:
    """Errors of one solver on one SDE; ``status`` n/a or failed where there are none, and why.

    Args:
        solver, sde: their names with options.
        kind: ``strong``, or ``weak`` for a stochastic solver.
        method: how: ``flow``; ``quadrature``, ``Gaussian`` or ``Monte Carlo`` of a weak error.
        order, cost: as the solver declares them.
        adaptive: whether budgets are tolerances.
        log_snr: the interval that errors arise over.
        gaussian: chance-free weak errors on Gaussian data at the same points, where they exist.
        notes: why the method is not the usual one, and the like.
    """

    solver: str
    sde: str
    kind: str
    order: int
    cost: int
    adaptive: bool
    method: str = ""
    log_snr: tuple[float, float] = (math.nan, math.nan)
    points: list[Point] = field(default_factory=list)
    gaussian: list[Point] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    status: str = "ok"
    reason: str = ""

    def slope(self) -> tuple[float, float]:
        """Measured order, and its standard error; NaN where points are too few."""
        return slope(self.points, 0 if self.adaptive else RECENT)

    def gaussian_slope(self) -> tuple[float, float]:
        """The order that Gaussian data show, which they can flatter; NaN where not measured."""
        return slope(self.gaussian)

    def power(self) -> float:
        """The power of the tolerance that an adaptive solver's error falls as."""
        points = [point for point in self.points if point.telling]
        return -fit([p.budget for p in points], [p.error for p in points])[0]


def point_of_flow(budget: float, steps: int, nfe: float, squares: Tensor, blocks: int) -> Point:
    """A root mean square over starts, from their mean squares ``(n,)``."""
    parts = squares.unflatten(0, (blocks, -1)).mean(1)
    fewer = (parts.sum() - parts) / (blocks - 1)
    return Point(budget, steps, nfe, float(squares.mean().sqrt()), tuple(fewer.sqrt().tolist()))


def point_of_shares(budget: float, steps: int, nfe: float, shares: Tensor) -> Point:
    """A root mean square over functions, from what blocks of paths say, ``(blocks, functions)``."""
    fewer = (shares.sum(0) - shares) / (len(shares) - 1)
    spread = shares.var(0) / len(shares)
    return Point(
        *(budget, steps, nfe, float(shares.mean(0).square().mean().sqrt())),
        tuple(fewer.square().mean(1).sqrt().tolist()),
        float(spread.mean().sqrt()),
    )


def jackknife(fewer: Sequence[float]) -> float:
    """Standard error of a number, from its values without each block."""
    apart = torch.tensor(fewer, dtype=torch.float64)
    return float(((apart - apart.mean()).square().sum() * (1 - 1 / len(fewer))).sqrt())


def slope(points: Sequence[Point], last: int = RECENT) -> tuple[float, float]:
    """Order over the last telling points (0: all), and its standard error.

    That of the fit or, where larger, by chance; NaN where nothing tells it.
    """
    told = [point for point in points if point.telling][-last:]
    x = [point.nfe for point in told]
    value, doubt = fit(x, [point.error for point in told])
    if math.isfinite(value) and all(point.fewer for point in told):
        every = [fit(x, each)[0] for each in zip(*(p.fewer for p in told), strict=True)]
        doubt = max(jackknife(every), 0.0 if math.isnan(doubt) else doubt)
    return value, doubt
