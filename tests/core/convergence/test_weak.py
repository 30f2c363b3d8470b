"""Weak errors: held against exact moments; what is left of chance."""

import math

import pytest

from sgmkit import create
from sgmkit.convergence import ProblemSet, flattened
from sgmkit.convergence.affine import affine_map
from sgmkit.convergence.curve import point_of_shares
from sgmkit.convergence.problems import gaussian
from sgmkit.convergence.reference_processes import Both, Decay, Pair
from sgmkit.convergence.weak import BLOCKS, monte_carlo, quadrature
from sgmkit_solvers.euler_maruyama import Euler
from sgmkit_solvers.ssem import SSEM

MIXTURE = flattened(create("dataset", "eight-gaussians:std=0.3").mixture())


@pytest.mark.parametrize("sde", [Decay(), Pair(), Both()])
@pytest.mark.parametrize("solver", [Euler(), SSEM()])
@pytest.mark.parametrize("method", [quadrature, monte_carlo])
def test_weak_errors_are_those_of_exact_moments(sde, solver, method):
    """On one Gaussian the solver is affine: what the half square is off by is known exactly."""
    problems = ProblemSet(sde, gaussian())
    problem = problems.normal
    grid = problem.grid(8)
    start_mean, start_cov = (part[0] for part in problem.moments(grid[0]))
    mean, cov = affine_map(solver, problem, grid).moments(start_mean, start_cov)
    exact_mean, exact_cov = (part[0] for part in problem.moments(grid[-1]))
    error = (mean[0] ** 2 + cov[0, 0] - exact_mean[0] ** 2 - exact_cov[0, 0]) / 2
    arguments = (1,) if method is quadrature else ()
    nfe, shares = method(problems, solver, grid, *arguments)
    stderr = float(shares[:, 0].std()) / math.sqrt(BLOCKS)
    assert nfe == 8
    assert abs(float(shares[:, 0].mean() - error)) < 4 * stderr


@pytest.mark.parametrize(("method", "falls"), [(quadrature, True), (monte_carlo, False)])
def test_chance_falls_with_the_error_of_a_quadrature(method, falls):
    problems = ProblemSet(Decay(), MIXTURE)
    floors = []
    for steps in (8, 64):
        arguments = (1,) if method is quadrature else ()
        _, shares = method(problems, Euler(), problems.line.grid(steps), *arguments)
        floors.append(point_of_shares(steps, steps, steps, shares).floor)
    assert (floors[1] < 0.25 * floors[0]) == falls
