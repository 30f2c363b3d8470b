"""Error against network evaluations, and measured orders, of every solver on every SDE.

The law is a Gaussian mixture: its score is exact, and what is left is the solver's own error.
Orders are measured on equal steps in log-SNR, over one interval for every process.

A deterministic solver has a strong error: root mean square distance, in the data, to a tight
solution from the same start. A stochastic one has a weak error, measured twice:

- mixture: of the expectations of five smooth functions f of one coordinate. ``V(u, t)``, the exact
  process' expectation of f at the end given u at t, is known for mixtures, so the error is the sum
  over steps of ``E[V(u_s, s) - V(u_t, t)]`` (Talay and Tubaro 1990). Each step's noise is
  integrated by Gauss-Hermite quadrature and only the place that it starts from is drawn: the
  chance that is left is a few percent of the error, however small that is.
- Gaussian: the solver is affine there; mean and covariance are propagated without any chance.
  This can flatter an order: on VE, ssem measures 2 by coincidence.

    python benchmarks/convergence.py [--quick] [--out FILE.png]
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from numpy.polynomial.hermite_e import hermegauss
from torch import Tensor

import sgmkit
from sgmkit import LinearSDE, Mixture, SeededNoise, Solver, components, create
from sgmkit.errors import BadValue, Incompatible, UserError
from sgmkit.ode import integrate
from sgmkit.options import parse_list
from sgmkit.solver import time_at_snr
from sgmkit.testing.probes import affine_map
from sgmkit.testing.problems import Problem, gaussian

if TYPE_CHECKING:
    pass

from curves import BLOCKS, INTERVAL, Curve, figure, slope
from weak import WAVES, Future, Law, StepNoise, first_coordinate

VARIANTS = ("ssem:kick=midpoint",)
NODES = {1: (5, 3072), 2: (5, 512), 4: (3, 160)}
"""By numbers drawn in a step: quadrature nodes for each, and paths."""
ORDERS = ("mixture", "Gaussian")
FINEST = 512
TIGHT = 1e-9
"""Tolerances of the reference."""
GRIDS = ("uniform", "logsnr")
FULL = ((20, 1e-3), (100, 1e-5))
"""Network evaluations, and tolerances, of the table of the whole range."""


class Process:
    """One SDE, and three laws under it: the mixture, one coordinate of it, and one Gaussian."""

    def __init__(self, sde: str, law: Mixture, samples: int) -> None:
        self.sde: LinearSDE = create("sde", sde)
        self.law, self.samples = law, samples
        self.line = first_coordinate(law)
        self.plane, self.axis = (
            create("model", "exact", sde=self.sde, data=Law(each)) for each in (law, self.line)
        )
        self.normal = Problem(self.sde, gaussian())
        goals = torch.linspace(*INTERVAL, FINEST + 1, dtype=torch.float64)
        self._finest = time_at_snr(self.sde, goals, 1e-6 * self.sde.horizon)
        self._flows: dict[tuple[float, ...], tuple[Tensor, Tensor]] = {}

    def interval(self, steps: int) -> Tensor:
        """``(steps + 1,)`` times over `INTERVAL`, for a power of two."""
        return self._finest[:: FINEST // steps].clone()

    def draw(self, law: Mixture, t: Tensor, count: int) -> Tensor:
        """Exact draws of u_t, ``(count, k, N)``."""
        return Problem(self.sde, law).draw(t, SeededNoise(1, range(count)))

    def flow(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        """Starts at the grid's first time, and where the probability flow has them at its last."""
        ends = float(grid[0]), float(grid[-1])
        if ends not in self._flows:
            start = self.draw(self.law, grid[0], self.samples)
            rev = self.plane.reverse(SeededNoise(0, range(self.samples)))
            end = integrate(lambda rows: rev.select(rows).velocity, start, *ends, TIGHT, TIGHT)
            self._flows[ends] = start, end
        return self._flows[ends]

    def strong(self, solver: Solver, grid: Tensor) -> tuple[float, float]:
        """Mean network evaluations, and root mean square error of the data."""
        start, end = self.flow(grid)
        rev = self.plane.reverse(SeededNoise(0, range(len(start))))
        apart = solver.solve(rev, start.clone(), grid)[:, 0] - end[:, 0]
        return float(rev.calls.double().mean()), float(apart.square().mean().sqrt())

    def weak(self, solver: Solver, grid: Tensor, sums: int) -> Tensor:
        """Errors of the five expectations, by blocks of paths: ``(BLOCKS, 5)``."""
        self._check_steps(solver, grid)
        nodes, weights, places = self._quadrature(solver, grid)
        future = Future(self.sde, self.line, grid)
        u = self.draw(self.line, grid[0], places)
        draws = SeededNoise(2, range(places)).stream("step")
        total = u.new_zeros(1 + len(WAVES), places)
        for n in range(len(grid) - 1):
            rev = self.axis.reverse(StepNoise(draws, nodes, sums))
            ends = solver.solve(rev, u.repeat(len(nodes) + 1, 1, 1), grid[n : n + 2])
            values = future(ends[:-places], n + 1).unflatten(1, (len(nodes), places))
            total += torch.einsum("q,fqp->fp", weights, values) - future(u, n)
            u = ends[-places:]
        return total.unflatten(1, (BLOCKS, -1)).mean(2).T

    def gaussian(self, solver: Solver, grid: Tensor) -> float:
        """The larger error of mean and variance of the data, in units of the exact spread."""
        (mean, cov), (goal, spread) = (self.normal.moments(t) for t in (grid[0], grid[-1]))
        found, around = affine_map(solver, self.normal, grid).moments(mean[0], cov[0])
        shift = (found - goal[0])[0] / spread[0, 0, 0].sqrt()
        return max(abs(float(shift)), abs(float(around[0, 0] / spread[0, 0, 0] - 1)))

    def _check_steps(self, solver: Solver, grid: Tensor) -> None:
        """A run must be its steps one after the other, or they cannot be looked at one by one."""
        start = u = self.draw(self.line, grid[0], 4)
        noise, again = (SeededNoise(2, range(4)) for _ in range(2))
        for n in range(len(grid) - 1):
            u = solver.solve(self.axis.reverse(noise), u, grid[n : n + 2])
        if not torch.allclose(u, solver.solve(self.axis.reverse(again), start.clone(), grid)):
            raise Incompatible("a step depends on the grid around it: no weak error")

    def _quadrature(self, solver: Solver, grid: Tensor) -> tuple[Tensor, Tensor, int]:
        """Nodes ``(Q, d)`` and weights ``(Q,)`` for the d numbers of a step; how many places."""
        probe = StepNoise(SeededNoise(2, range(1)), grid.new_empty(0, 0))
        solver.solve(self.axis.reverse(probe), grid.new_zeros(1, self.sde.phases, 1), grid[:2])
        if probe.used not in NODES:
            raise Incompatible(f"{probe.used} numbers drawn in a step: no quadrature")
        count, places = NODES[probe.used]
        line, mass = (torch.as_tensor(part) for part in hermegauss(count))
        every = torch.cartesian_prod(*[torch.arange(count)] * probe.used).view(-1, probe.used)
        return line[every], (mass / mass.sum())[every].prod(1), places


def curves(process: Process, name: str, solvers: Sequence[str], quick: bool) -> Iterator[Curve]:
    """The errors of every solver on one SDE."""
    for text in solvers:
        solver: Solver = create("solver", text)
        curve = Curve(text, name, solver, solver.supports(process.sde) or "")
        try:
            if not curve.note:
                (adaptive if solver.adaptive else fixed)(process, curve, quick)
        except UserError as error:
            curve.note = str(error)
        yield curve


def adaptive(process: Process, curve: Curve, quick: bool) -> None:
    """Fill a curve by tolerances."""
    for n in range(2, 6 if quick else 8):
        curve.tolerance.append(10.0**-n)
        nfe, error = process.strong(tuned(curve.solver, 10.0**-n), process.interval(1))
        curve.nfe.append(nfe)
        curve.error.append(error)


def fixed(process: Process, curve: Curve, quick: bool) -> None:
    """Fill a curve by budgets."""
    solver = curve.solver
    most = 64 if quick else 128 if solver.stochastic else 512
    for nfe in (n for n in (8, 16, 32, 64, 128, 256, 512) if n <= most):
        grid = process.interval(nfe // solver.cost)
        curve.nfe.append(nfe)
        if solver.stochastic:
            curve.shares.append(process.weak(solver, grid, most // nfe))
            curve.error.append(float(curve.shares[-1].mean(0).square().mean().sqrt()))
            curve.gaussian.append(process.gaussian(solver, grid))
        else:
            curve.error.append(process.strong(solver, grid)[1])


def tuned(solver: Solver, tolerance: float) -> Solver:
    """An adaptive solver with both tolerances set."""
    return replace(solver, rtol=tolerance, atol=tolerance)


def whole(process: Process, name: str, solvers: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Errors from T to t_min, from the exact law of u_T: a row for each solver."""
    for text in solvers:
        solver: Solver = create("solver", text)
        if solver.supports(process.sde):
            continue
        row = [text, name, "weak, Gaussian" if solver.stochastic else "strong"]
        for grid, (nfe, tolerance) in product(GRIDS, FULL):
            steps = 1 if solver.adaptive else nfe // solver.cost
            times = sgmkit.time_grid(grid, process.sde, steps, process.plane.t_min)
            if solver.adaptive:
                spent, error = process.strong(tuned(solver, tolerance), times)
                row.append(f"{error:.1e} at {spent:.0f}" if grid == GRIDS[0] else "")
            elif solver.stochastic:
                row.append(f"{process.gaussian(solver, times):.1e}")
            else:
                row.append(f"{process.strong(solver, times)[1]:.1e}")
        yield tuple(row)


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print aligned columns; words to the left, a last column without a title too."""
    print(f"\n{title}")
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    sides = [str.rjust if i > 2 and name else str.ljust for i, name in enumerate(header)]
    for row in (header, *rows):
        cells = (side(*each) for side, *each in zip(sides, row, widths, strict=True))
        print("  ".join(cells).rstrip())


def summary(curve: Curve) -> tuple[str, ...]:
    """A row of the table of orders."""
    if curve.note:
        return (curve.name, curve.sde, "n/a", *[""] * 6, curve.note)
    fits = [curve.slope(), *([slope(curve.nfe, curve.gaussian)] if curve.gaussian else [])]
    told = [f"{value:.2f} ± {doubt:.2f}" for value, doubt in fits] + [""] * (2 - len(fits))
    found = dict(zip(curve.nfe, curve.error, strict=True))
    some = [f"{found[n]:.1e}" if n in found else "" for n in (32, 128)]
    order, cost, note = str(curve.solver.order), str(curve.solver.cost), ""
    if curve.solver.adaptive:
        ends = [f"{curve.error[n]:.0e} at {curve.nfe[n]:.0f}" for n in (0, -1)]
        power = -slope(curve.tolerance, curve.error, 0)[0]
        cost, note = f"~{cost}", f"{' to '.join(ends)}: as tolerance to the {power:.1f}"
    return (curve.name, curve.sde, curve.kind, order, *told, cost, *some, note)


def orders(args: argparse.Namespace) -> None:
    """The table of orders, that of the whole range, and the figure."""
    law = create("dataset", args.data).mixture()
    if law is None:
        raise BadValue(f"--data {args.data} states no law; eight-gaussians does")
    solvers = [":".join((n, *map("=".join, o.items()))) for n, o in parse_list(args.solvers)]
    every, rows = [], []
    for name in args.sde.split(","):
        process = Process(name, law, 16 if args.quick else 64)
        every += curves(process, name, solvers, args.quick)
        rows += whole(process, name, solvers)
    every.sort(key=lambda c: solvers.index(c.name))
    rows.sort(key=lambda row: solvers.index(row[0]))
    title = (
        f"Orders over log-SNR {INTERVAL}, {args.data}: slopes with standard errors, errors by NFE"
    )
    header = ["solver", "sde", "error", "declared", *ORDERS, "calls", "at 32", "at 128", ""]
    table(title, header, [summary(curve) for curve in every])
    told = " and ".join(f"{tolerance:g}" for _, tolerance in FULL)
    title = f"Errors from T to t_min by grid and NFE, u_T exact (adaptive: tolerances {told})"
    grids = [f"{grid} {nfe}" for grid, (nfe, _) in product(GRIDS, FULL)]
    table(title, ["solver", "sde", "error", *grids], rows)
    if args.out:
        figure(every, Path(args.out))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = ",".join([*components("solver"), *VARIANTS])
    parser.add_argument("--solvers", default=every, help="default: all, with variants")
    parser.add_argument("--sde", default=",".join(components("sde")), help="default: all")
    parser.add_argument("--data", default="eight-gaussians:std=0.3", help="data with a known law")
    parser.add_argument("--out", default="", metavar="FILE.png", help="draw the figure")
    parser.add_argument("--quick", action="store_true", help="fewer points")
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            orders(args)
    except UserError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
