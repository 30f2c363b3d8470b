"""Exact expectations at the end: the function itself there, and a martingale before."""

import torch

from sgmkit import SeededNoise
from sgmkit.convergence.future import FUNCTIONS, WAVES, Future
from sgmkit.convergence.problems import Problem, first_coordinate, mixture
from sgmkit.convergence.reference_processes import Pair


def test_the_expectation_at_the_end_is_the_function():
    problem = Problem(Pair(), first_coordinate(mixture()))
    grid = problem.grid(4)
    u = problem.draw(grid[-1], SeededNoise(0, range(6)))
    values = Future(problem.sde, problem.law, grid)(u, 4)
    x = u[:, 0, 0]
    functions = [x.square() / 2, *(torch.cos(k * x + phase) for k, phase in WAVES)]
    torch.testing.assert_close(values, torch.stack(functions), rtol=1e-6, atol=1e-6)


def test_expectations_have_the_same_mean_at_every_time():
    """E[V(u_t, t)] over the exact law of u_t is E[f(x_end)], whatever t."""
    problem = Problem(Pair(), first_coordinate(mixture()))
    grid, n = problem.grid(4), 40_000
    future = Future(problem.sde, problem.law, grid)
    means, errors = [], []
    for number in (0, 2, 4):
        u = problem.draw(grid[number], SeededNoise(number, range(n)))
        values = future(u, number)
        assert values.shape == (FUNCTIONS, n)
        means.append(values.mean(1))
        errors.append(values.std(1) / n**0.5)
    for one, other in ((0, 1), (0, 2)):
        stderr = (errors[one].square() + errors[other].square()).sqrt()
        assert float(((means[one] - means[other]) / stderr).abs().max()) < 4.5
