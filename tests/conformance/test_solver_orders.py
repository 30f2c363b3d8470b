"""Measured orders, over one fixed interval of the log-SNR for every process.

Deterministic solvers: distance to the flow from the same start, on a mixture. Stochastic ones: weak
errors without chance, by moments on Gaussian data and by quadrature on a mixture.
"""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline
from support.golden_solvers_data import MIXTURE, SDES, Law, affine, numbers

from sgmkit import RecordedNoise, Reverse, SeededNoise
from sgmkit.processes import time_at_snr
from sgmkit_exact.exact import Exact
from sgmkit_solvers.adaptive_runge_kutta import RK45
from sgmkit_solvers.ddim import DDIM
from sgmkit_solvers.euler_maruyama import Euler
from sgmkit_solvers.heun import Heun
from sgmkit_solvers.ssem import SSEM

ORDERED = ("vp", "subvp", "ve", "geometric", "edm", "cld")
STOCHASTIC = {
    "euler": Euler(),
    "ssem": SSEM(),
    "ssem score midpoint": SSEM(score_time="midpoint"),
    "ssem kick midpoint": SSEM(kick="midpoint"),
}


def snr_grid(sde, steps, low=0.3, high=30.0):
    """Equal steps over one fixed interval of the log-SNR, for every process."""
    levels = torch.linspace(math.log(low), math.log(high), steps + 1, dtype=torch.float64)
    return time_at_snr(sde, levels, 1e-6 * sde.horizon)


def drawn(solver, sde):
    return [sde.driven] if isinstance(solver, Euler) else [sde.phases] * 2


def order(errors):
    """Slope of log2 error over doublings, the last doubling alone."""
    return math.log2(errors[-2] / errors[-1])


@pytest.mark.parametrize("name", ORDERED)
def test_order_of_deterministic_solvers_on_a_mixture(name):
    """Distance to the flow itself from the same start, over a fixed log-SNR interval."""
    sde = SDES[name]
    model, u = Exact(sde, MIXTURE), None
    grid = snr_grid(sde, 32)
    kernel, z = sde.kernel(grid[0]), numbers(6, sde.phases + 1, 2)
    u = kernel.mean[:, None] * z[:, :1] + kernel.chol @ z[:, 1:]
    truth = RK45(rtol=1e-8, atol=1e-8).solve(model.reverse(SeededNoise(0, range(6))), u, grid)
    for solver, expected, count in ((Heun(), 2, (64, 128)), (DDIM(), 1, (64, 128))):
        errors = []
        for steps in count:
            rev = model.reverse(SeededNoise(0, range(6)))
            out = solver.solve(rev, u, snr_grid(sde, steps))
            errors.append(float((out - truth).square().mean().sqrt()))
            assert rev.calls.tolist() == [steps * solver.cost] * 6
        assert solver.order == expected
        assert abs(order(errors) - expected) < 0.3
        assert errors[-1] < 0.05


def gaussian_error(solver, sde, steps):
    """Error of mean and covariance at the end, exactly, on Gaussian data N(0.7, 0.25)."""
    model, grid = Exact(sde, Law([1.0], [[0.7]], [[0.25]])), snr_grid(sde, steps)

    def law(t):
        kernel = sde.kernel(t)
        cov = kernel.cov + 0.25 * kernel.mean[:, None] * kernel.mean
        return 0.7 * kernel.mean, cov

    mean, cov = law(grid[0])
    for pair in pairwise(grid):
        matrix, shift, root = affine(solver, sde, model.eps, torch.stack(pair), drawn(solver, sde))
        mean, cov = matrix @ mean + shift, matrix @ cov @ matrix.T + root @ root.T
    true_mean, true_cov = law(grid[-1])
    scale = true_cov.diagonal().sqrt()
    error = torch.cat([(mean - true_mean) / scale, ((cov - true_cov) / scale / scale[:, None])[0]])
    return float(error.norm())


@pytest.mark.parametrize("name", [*ORDERED, "coupled"])
@pytest.mark.parametrize("solver", STOCHASTIC)
def test_weak_order_on_gaussian_data(solver, name):
    """Moments go through the affine step without noise. Gaussian data flatter some processes (ssem
    measures 2 on ve), so the order is at least the declared one here; the mixture below decides.
    """
    sde, made = SDES[name], STOCHASTIC[solver]
    if made.supports(sde):
        pytest.skip("n/a, with its reason tested below")
    errors = [gaussian_error(made, sde, steps) for steps in (24, 48)]
    assert order(errors) > made.order - 0.25
    assert errors[-1] < 0.1


class Replayed(RecordedNoise):
    """Whole draws, in order: many rows are too many to replay one by one."""

    def __call__(self, like):
        return self._draws.pop(0)


def weak_error(solver, sde, steps, law):
    """|E f(u_n) - E f(u_t)| on a one-dimensional mixture, without chance, for three functions f.

    Expectations are carried back over each step on a spline in u, by Gauss-Hermite quadrature
    over the step's own noise.
    """
    model = Exact(sde, law)
    grid = snr_grid(sde, steps, 0.5, 4.0)
    reach = 6.5 * float((1 + sde.kernel(grid[0]).cov[0, 0]).sqrt())
    u = torch.linspace(-reach, reach, 181, dtype=torch.float64)
    nodes, weights = np.polynomial.hermite_e.hermegauss(7)
    weights = torch.from_numpy(weights / weights.sum())
    draws = 1 if isinstance(solver, Euler) else 2
    z = torch.cartesian_prod(*[torch.from_numpy(nodes)] * draws).reshape(-1, draws)
    w = torch.cartesian_prod(*[weights] * draws).reshape(-1, draws).prod(1)
    state = u.repeat_interleave(len(z))[:, None, None]
    noise = [column.repeat(len(u))[:, None, None] for column in z.T]

    def test_function(v):
        return np.stack([np.sin(1.3 * v + 0.4), np.cos(2 * v), 1 / (1 + v**2)], -1)

    value = CubicSpline(u, test_function(u.numpy()))
    for t, s in reversed(list(pairwise(grid))):
        rev = Reverse(sde, model.eps, Replayed(noise))
        out = solver.solve(rev, state, torch.stack([t, s]))[:, 0, 0]
        after = torch.from_numpy(value(out.clamp(-reach, reach).numpy()))
        value = CubicSpline(u, torch.einsum("unf,n->uf", after.reshape(len(u), -1, 3), w))

    def density(t):
        x = torch.linspace(-reach, reach, 4001, dtype=torch.float64)
        return x.numpy(), model.log_prob(x[:, None, None], t).exp().numpy()

    x, start = density(grid[0])
    y, finish_ = density(grid[-1])
    exact = np.trapezoid(test_function(y) * finish_[:, None], y, axis=0)
    return np.linalg.norm(np.trapezoid(value(x) * start[:, None], x, axis=0) - exact)


@pytest.mark.parametrize("name", ["vp", "ve", "geometric"])
@pytest.mark.parametrize("solver", STOCHASTIC)
def test_weak_order_on_a_mixture(solver, name):
    law = Law([0.4, 0.6], [[-1.0], [0.7]], [[0.1], [0.2]])
    made = STOCHASTIC[solver]
    errors = [weak_error(made, SDES[name], steps, law) for steps in (8, 16)]
    assert abs(order(errors) - made.order) < 0.4
    assert errors[-1] < 0.02
