"""Curves of error against network evaluations, and their slopes with standard errors."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sgmkit.convergence.orders import ROUNDING, fit

ABOVE_FLOOR = 2.0
"""Errors below so many times their floor are mostly chance: no slope is fitted to them."""
FINEST_POINTS = 3
"""How many of the finest points a slope is fitted to."""


@dataclass(frozen=True)
class Point:
    """One measured error.

    Args:
        budget: the budget in network evaluations, or the tolerance.
        steps: of the grid; one for an adaptive solver.
        nfe: mean network evaluations, counted.
        error: the error.
        leave_one_out: the error without each block of starts or paths in turn, for the jackknife;
            empty where nothing was drawn.
        floor: root mean square of the standard errors of the expectations. A smaller error is
            chance. NaN where nothing was drawn, and for strong errors.
    """

    budget: float
    steps: int
    nfe: float
    error: float
    leave_one_out: tuple[float, ...] = ()
    floor: float = math.nan

    @property
    def half(self) -> float:
        """Half the width of the 95 % interval; NaN where nothing was drawn."""
        return 1.96 * jackknife(self.leave_one_out) if self.leave_one_out else math.nan

    @property
    def significant(self) -> bool:
        """Whether the error exceeds rounding and chance."""
        floor = 0.0 if math.isnan(self.floor) else self.floor
        return math.isfinite(self.error) and self.error >= max(ROUNDING, ABOVE_FLOOR * floor)


@dataclass
class Curve:
    """Errors of one solver on one SDE.

    Args:
        solver, sde: their names with options.
        kind: ``strong``, or ``weak`` for a stochastic solver.
        order, cost: as the solver declares them.
        adaptive: whether budgets are tolerances.
        method: how errors were measured: ``flow`` for strong ones; ``quadrature``, ``Gaussian`` or
            ``Monte Carlo`` for weak ones.
        log_snr: the interval in which errors arise.
        points: the errors, one for each budget.
        gaussian: weak errors on Gaussian data at the same points, free of chance, where they exist.
        notes: remarks, such as why the method is not the usual one.
        status: ``ok``; ``n/a`` or ``failed`` where there are no points.
        reason: why there are no points.
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
        """Measured order and its standard error; NaN where points are too few."""
        return slope(self.points, 0 if self.adaptive else FINEST_POINTS)

    def gaussian_slope(self) -> tuple[float, float]:
        """The order that Gaussian data show, which they can flatter; NaN where not measured."""
        return slope(self.gaussian)

    def power(self) -> float:
        """The power of the tolerance with which an adaptive solver's error falls."""
        points = [point for point in self.points if point.significant]
        return -fit([p.budget for p in points], [p.error for p in points])[0]


def point_of_flow(budget: float, steps: int, nfe: float, squares: Tensor, blocks: int) -> Point:
    """The root mean square error over starts, from the mean square of each, ``(n,)``."""
    parts = squares.unflatten(0, (blocks, -1)).mean(1)
    leave_one_out = (parts.sum() - parts) / (blocks - 1)
    return Point(
        budget, steps, nfe, float(squares.mean().sqrt()), tuple(leave_one_out.sqrt().tolist())
    )


def point_of_shares(budget: float, steps: int, nfe: float, shares: Tensor) -> Point:
    """The root mean square error over functions.

    Args:
        shares: error of the expectation of each function in each block of paths,
            ``(blocks, functions)``.
    """
    leave_one_out = (shares.sum(0) - shares) / (len(shares) - 1)
    spread = shares.var(0) / len(shares)
    return Point(
        *(budget, steps, nfe, float(shares.mean(0).square().mean().sqrt())),
        tuple(leave_one_out.square().mean(1).sqrt().tolist()),
        float(spread.mean().sqrt()),
    )


def jackknife(leave_one_out: Sequence[float]) -> float:
    """Jackknife standard error of a number, from its values without each block in turn."""
    apart = torch.tensor(leave_one_out, dtype=torch.float64)
    return float(((apart - apart.mean()).square().sum() * (1 - 1 / len(leave_one_out))).sqrt())


def slope(points: Sequence[Point], last: int = FINEST_POINTS) -> tuple[float, float]:
    """Order over the last significant points, and its standard error; NaN where it is unknown.

    The standard error is that of the fit or, where it is larger, that of the jackknife.

    Args:
        last: how many points, 0 for all.
    """
    points = [point for point in points if point.significant][-last:]
    x = [point.nfe for point in points]
    value, stderr = fit(x, [point.error for point in points])
    if math.isfinite(value) and all(point.leave_one_out for point in points):
        blocks = zip(*(point.leave_one_out for point in points), strict=True)
        slopes = [fit(x, errors)[0] for errors in blocks]
        stderr = max(jackknife(slopes), 0.0 if math.isnan(stderr) else stderr)
    return value, stderr
