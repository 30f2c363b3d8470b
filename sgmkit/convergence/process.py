"""One SDE and the exact laws under it that errors are measured on."""

import functools

import torch
from torch import Tensor

from sgmkit.convergence.probes import SilentNoise, affine_map
from sgmkit.convergence.problems import Problem, gaussian
from sgmkit.data import Mixture
from sgmkit.noise import SeededNoise
from sgmkit.processes import LinearSDE, time_at_snr
from sgmkit.solvers import Solver, integrate

INTERVAL = (-6.0, 6.0)
"""Of log-SNR: from noise to nearly data, within the range of every built-in process."""
LOWEST = 1e-6
"""The earliest time that is looked at, in units of the horizon."""
TIGHT = 1e-9
"""Tolerances of the reference."""


class Process:
    """One SDE, and three laws under it: the mixture, one coordinate of it, and one Gaussian.

    Args:
        sde: the process.
        law: a mixture of J components, flattened: ``means (J, N)``.
        starts: of the flow that strong errors are measured on.
    """

    def __init__(self, sde: LinearSDE, law: Mixture, starts: int = 64) -> None:
        self.sde, self.starts = sde, starts
        laws = (law, first_coordinate(law), gaussian())
        self.plane, self.line, self.normal = (Problem(sde, each) for each in laws)
        self._grids: dict[int, Tensor] = {}
        self._flows: dict[tuple[float, float], tuple[Tensor, Tensor]] = {}

    @functools.cached_property
    def log_snr(self) -> tuple[float, float]:
        """The interval of errors: `INTERVAL`, less what the process does not reach."""
        ends = torch.tensor([1.0, LOWEST], dtype=torch.float64) * self.sde.horizon
        least, most = self.sde.kernel(ends).snr.log().tolist()
        return max(INTERVAL[0], least), min(INTERVAL[1], most)

    def grid(self, steps: int) -> Tensor:
        """``(steps + 1,)`` times, equal steps in log-SNR over the interval."""
        if steps not in self._grids:
            goals = torch.linspace(*self.log_snr, steps + 1, dtype=torch.float64)
            times = time_at_snr(self.sde, goals, LOWEST * self.sde.horizon)
            if steps > 1:  # the same ends to the last bit, so that they share one flow
                times[[0, -1]] = self.grid(1)
            self._grids[steps] = times
        return self._grids[steps].clone()

    def draw(self, problem: Problem, t: Tensor, count: int) -> Tensor:
        """Exact draws of u_t, ``(count, k, N)``."""
        return problem.draw(t, SeededNoise(1, range(count)))

    def flow(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        """Starts at the grid's first time, and where the probability flow has them at its last."""
        ends = float(grid[0]), float(grid[-1])
        if ends not in self._flows:
            start = self.draw(self.plane, grid[0], self.starts)
            rev = self.plane.reverse(SilentNoise(len(start)))
            end = integrate(lambda rows: rev.select(rows).velocity, start, *ends, TIGHT, TIGHT)
            self._flows[ends] = start, end
        return self._flows[ends]

    def strong(self, solver: Solver, grid: Tensor) -> tuple[float, Tensor]:
        """Mean network evaluations; mean squared error of the data from each start, ``(n,)``."""
        start, end = self.flow(grid)
        rev = self.plane.reverse(SilentNoise(len(start)))
        apart = solver.solve(rev, start.clone(), grid)[:, 0] - end[:, 0]
        return float(rev.calls.double().mean()), apart.square().flatten(1).mean(1)

    def gaussian(self, solver: Solver, grid: Tensor) -> tuple[float, float]:
        """Mean network evaluations; the larger error of mean and variance of Gaussian data.

        In units of the exact spread, and free of chance: the solver is probed as an affine map.
        """
        (mean, cov), (goal, spread) = (self.normal.moments(t) for t in (grid[0], grid[-1]))
        found, around = affine_map(solver, self.normal, grid).moments(mean[0], cov[0])
        shift = (found - goal[0])[0] / spread[0, 0, 0].sqrt()
        error = max(abs(float(shift)), abs(float(around[0, 0] / spread[0, 0, 0] - 1)))
        return float(self.normal.seen.double().mean()), error


def flat(law: Mixture) -> Mixture:
    """A law of data of any shape, with ``means (J, N)``, in float64."""
    means = law.means.double()
    variances = law.variances.double().expand(means.shape)
    return Mixture(law.weights.double(), means.flatten(1), variances.flatten(1))


def first_coordinate(law: Mixture) -> Mixture:
    """Its law; components that become equal are joined."""
    parts = torch.cat([law.means[:, :1], law.variances[:, :1]], 1)
    parts, place = torch.unique(parts.round(decimals=9), dim=0, return_inverse=True)
    weights = law.weights.new_zeros(len(parts)).index_add_(0, place, law.weights)
    return Mixture(weights, parts[:, :1], parts[:, 1:])
