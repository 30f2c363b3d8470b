"""Solvers: their formulas, their orders, and the laws that their samples follow."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from support.golden_solvers_data import MIXTURE, SDES, Law, affine, close, numbers, times

from sgmkit import ClockedSDE, Reverse, SeededNoise, time_grid
from sgmkit_exact.exact import Exact
from sgmkit_sdes.vp import VP
from sgmkit_solvers.adaptive_runge_kutta import RK45
from sgmkit_solvers.ddim import DDIM
from sgmkit_solvers.euler_maruyama import Euler
from sgmkit_solvers.heun import Heun
from sgmkit_solvers.ssem import SSEM

CLOCKED = {name: sde for name, sde in SDES.items() if isinstance(sde, ClockedSDE)}
ORDERED = ("vp", "subvp", "ve", "geometric", "edm", "cld")
STOCHASTIC = {
    "euler": Euler(),
    "ssem": SSEM(),
    "ssem score midpoint": SSEM(score_time="midpoint"),
    "ssem kick midpoint": SSEM(kick="midpoint"),
}


def ornstein_uhlenbeck(a, b, tau):
    """Mean and covariance of du = a u dtau + b^{1/2} dw by a matrix exponential (Van Loan 1978)."""
    k = len(a)
    block = expm(np.block([[-a, b], [np.zeros((k, k)), a.T]]) * tau)
    phi = block[k:, k:].T
    return phi, phi @ block[:k, k:]


def strang(sde, t, s, middle, second_order):
    """One step for a linear noise prediction ``eps = E u + e``, in float64 matrices."""
    a, b = np.array(sde.drift_matrix), np.array(sde.noise_matrix)
    p, k, r = np.array(sde.precision), sde.phases, sde.driven
    clock = [float(sde.clock(v)) for v in (t, (t + s) / 2, s)]
    first, spread = ornstein_uhlenbeck(-a - b @ p, b, clock[0] - clock[1])
    second, spread_2 = ornstein_uhlenbeck(-a - b @ p, b, clock[1] - clock[2])
    now = (t + s) / 2 if middle else t
    low = sde.kernel(now).chol[-r:, -r:].numpy()
    gain, offset = linear_noise(sde)
    score = -np.linalg.inv(low.T)
    pull = b @ p + b[:, -r:] @ score @ gain
    shift = b[:, -r:] @ score @ offset
    h, one = clock[0] - clock[2], np.eye(k)
    kick, push = one + h * pull, h * shift
    if second_order:  # explicit midpoint
        kick, push = one + h * pull @ (one + h / 2 * pull), h * (shift + h / 2 * pull @ shift)
    cov = second @ kick @ spread @ kick.T @ second.T + spread_2
    return second @ kick @ first, second @ push, cov


def linear_noise(sde):
    random = np.random.default_rng(3)
    return random.standard_normal((sde.driven, sde.phases)), random.standard_normal(sde.driven)


@pytest.mark.parametrize("name", CLOCKED)
@pytest.mark.parametrize("solver", list(STOCHASTIC)[1:])
def test_ssem_step_by_matrix_exponentials(solver, name):
    """Each half on its own clock; the kick over the clock interval; whatever the network says."""
    sde, ssem = SDES[name], STOCHASTIC[solver]
    gain, offset = map(torch.from_numpy, linear_noise(sde))
    ends = times(sde, 0.7, 0.4)
    step = affine(
        ssem, sde, lambda u, t: gain @ u + offset[:, None], ends, [sde.phases, sde.phases]
    )
    middle, second_order = "midpoint" in solver, "kick" in solver
    matrix, shift, cov = strang(sde, *ends, middle, second_order)
    np.testing.assert_allclose(step[0].numpy(), matrix, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(step[1].numpy(), shift, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose((step[2] @ step[2].T).numpy(), cov, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", CLOCKED)
@pytest.mark.parametrize("solver", list(STOCHASTIC)[1:])
def test_ssem_may_draw_neighbouring_half_steps_at_once(solver, name):
    """The same affine map with the same law of the noise, from half the draws."""
    sde, ssem, k = SDES[name], STOCHASTIC[solver], SDES[name].phases
    gain, offset = map(torch.from_numpy, linear_noise(sde))
    grid = times(sde, 0.8, 0.6, 0.5, 0.1)

    def predict(u, t):
        return 0.3 * gain @ u + offset[:, None]

    apart = affine(ssem, sde, predict, grid, [k] * 6)
    joined = affine(ssem, sde, predict, grid, [k] * 4, recorded=False)
    for one, other in zip(joined[:2], apart[:2], strict=True):
        assert close(one, other, 1e-11)
    cov = apart[2] @ apart[2].T
    assert close(joined[2] @ joined[2].T / cov.abs().max(), cov / cov.abs().max(), 1e-11)


@pytest.mark.parametrize("name", SDES)
def test_euler_step(name):
    sde = SDES[name]
    r, (t, s) = sde.driven, times(sde, 0.7, 0.4)
    gain, offset = map(torch.from_numpy, linear_noise(sde))
    ends = torch.stack([t, s])
    matrix, shift, root = affine(Euler(), sde, lambda u, t: gain @ u + offset[:, None], ends, [r])
    d, low = sde.diffusion(t), sde.kernel(t).chol[-r:, -r:]
    score = -d[:, -r:] @ torch.linalg.inv(low.mT)
    unit = torch.eye(sde.phases, dtype=torch.float64)
    assert close(matrix, unit + (t - s) * (score @ gain - sde.drift(t)), 1e-12)
    assert close(shift, (t - s) * score @ offset, 1e-12)
    assert close(root @ root.T, d * (t - s), 1e-12)


@pytest.mark.parametrize(("solver", "places"), [(SSEM(), [0, 1]), (DDIM(), [0, 1])])
def test_network_is_asked_at_the_start(solver, places):
    assert asked(solver) == pytest.approx([0.8, 0.6])


def test_network_is_asked_in_the_middle():
    assert asked(SSEM(score_time="midpoint")) == pytest.approx([0.7, 0.4])
    assert asked(SSEM(kick="midpoint")) == pytest.approx([0.7, 0.7, 0.4, 0.4])
    assert asked(Heun()) == pytest.approx([0.8, 0.6, 0.6, 0.2])


def asked(solver):
    seen = []
    rev = Reverse(VP(), lambda u, t: (seen.append(float(t)), u)[1], SeededNoise(0, range(2)))
    solver.solve(rev, numbers(2, 1, 3), torch.tensor([0.8, 0.6, 0.2], dtype=torch.float64))
    return seen


# Laws ------------------------------------------------------------------------------------------


def moments(law):
    """Mean and covariance of each coordinate's data: ``(2,)`` each."""
    mean = law.weights @ law.means
    return mean, law.weights @ (law.variances + law.means.square()) - mean.square()


def assert_law(sde, u, t, slack=0.0):
    """First and second moments of every coordinate within four standard errors of the exact."""
    kernel, n = sde.kernel(t), len(u)
    for d, (mean, var) in enumerate(zip(*moments(MIXTURE.mixture()), strict=True)):
        expected = kernel.mean * mean
        cov = kernel.cov + var * kernel.mean[:, None] * kernel.mean
        scale = cov.diagonal().sqrt()
        centred = (u[:, :, d] - expected) / scale
        assert float(centred.mean(0).abs().max()) < 4 / n**0.5 + slack
        products = (centred[:, :, None] * centred[:, None]).flatten(1)
        wanted = (cov / scale / scale[:, None]).flatten()
        error = (products.mean(0) - wanted).abs() - 4 * products.std(0) / n**0.5
        assert float(error.max()) < slack


@pytest.mark.parametrize("name", ["vp", "ve", "cld", "third", "coupled"])
@pytest.mark.parametrize("solver", [Euler(), SSEM(), SSEM(kick="midpoint")], ids=str)
def test_samples_follow_the_exact_law(solver, name):
    """From the exact law of u_T, with steps fine enough that their bias is below the chance."""
    sde, n = SDES[name], 3000
    model = Exact(sde, MIXTURE)
    grid = time_grid("logsnr", sde, 150, 0.02 * sde.horizon)
    out = model.sample(n, solver, grid, SeededNoise(7, range(n)), start="exact")
    assert_law(sde, out.u, grid[-1], slack=0.03 if solver.order == 1 else 0.0)
    assert out.nfe.tolist() == [150 * solver.cost] * n


@pytest.mark.parametrize("name", ["edm", "vp", "cld"])
def test_churn_keeps_the_law(name):
    """Noise goes in by the forward SDE and out by the flow: the law at the end is the same."""
    sde, n = SDES[name], 4000
    model = Exact(sde, MIXTURE)
    grid = time_grid("edm", sde, 60, 0.02 * sde.horizon)
    out = model.sample(n, Heun(churn=30.0), grid, SeededNoise(7, range(n)), start="exact")
    assert_law(sde, out.u, grid[-1], slack=0.01)
    plain = model.sample(n, Heun(), grid, SeededNoise(7, range(n)), start="exact")
    assert_law(sde, plain.u, grid[-1], slack=0.01)
    both = torch.stack([out.u[:, 0, 0], plain.u[:, 0, 0]]).corrcoef()
    assert abs(float(both[0, 1])) < 0.2  # and the way there was forgotten


@pytest.mark.parametrize("name", ["edm", "vp", "subvp", "geometric", "cld", "coupled"])
def test_churn_raises_the_noise_level(name):
    sde = SDES[name]
    grid = time_grid("edm", sde, 8, 0.02 * sde.horizon)
    level = sde.kernel(grid[:-1]).snr ** -0.5
    for churn, gamma in ((0.0, 0.0), (0.8, 0.1), (2.0, 0.25), (50.0, math.sqrt(2) - 1)):
        high = Heun(churn=churn).raised(sde, grid)
        ratio = sde.kernel(high).snr ** -0.5 / level
        assert close(ratio, torch.full_like(ratio, 1 + gamma), 1e-8)
    window = Heun(churn=0.8, s_min=float(level[5]) * 0.999, s_max=float(level[2]) * 1.001)
    raised = window.raised(sde, grid) > grid[:-1]
    assert raised.tolist() == [False] * 2 + [True] * 4 + [False] * 2


def test_churn_noise_is_scaled():
    """s_noise multiplies the standard deviation of what the forward step adds, not the step."""
    sde = SDES["cld"]
    t, high = times(sde, 0.3, 0.35)
    (one,) = Heun().jumps(sde, t[None], high[None])
    (two,) = Heun(s_noise=2.0).jumps(sde, t[None], high[None])
    phi, cov = sde.transition(t, high)
    (_, root), (mean, double) = (
        torch.tensor(jump.rows, dtype=torch.float64).split(2, dim=1) for jump in (one, two)
    )
    assert close(root @ root.T, cov, 1e-14)
    assert close(double, 2 * root, 1e-14)
    assert close(mean, phi, 1e-14)


# The exponential step --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vp", "subvp", "ve", "geometric", "edm", "cld sloped", "coupled"])
def test_one_point_is_reached_in_one_step(name):
    """A law at one point: the exact flow, for any number of phases, is a single step."""
    sde = SDES[name]
    law = Law([1.0], [[0.8, -0.3]], [[0.0, 0.0]])
    model = Exact(sde, law)
    t, s = times(sde, 0.9, 0.2)
    kernel = sde.kernel(t)
    u = kernel.mean[:, None] * law.mixture().means[None] + kernel.chol @ numbers(4, sde.phases, 2)
    rev = model.reverse(SeededNoise(0, range(4)))
    out = DDIM().solve(rev, u, torch.stack([t, s]))
    flow = RK45(rtol=1e-9, atol=1e-9).solve(rev, u, torch.stack([t, s]))
    assert close(out, flow, 1e-6)
    mean = sde.kernel(s).mean
    white = torch.linalg.solve(sde.kernel(s).chol, out - mean[:, None] * law.mixture().means)
    start = torch.linalg.solve(kernel.chol, u - kernel.mean[:, None] * law.mixture().means)
    assert close(white.square().sum(1), start.square().sum(1), 1e-9)  # a rotation of the noise


@pytest.mark.parametrize("name", ["vp", "subvp", "ve"])
def test_ddim_formula(name):
    """x_s = alpha_s x + sigma_s eps for one phase, whatever the network says."""
    sde = SDES[name]
    t, s = times(sde, 0.8, 0.5)
    u, eps = numbers(3, 1, 2), numbers(3, 1, 2, seed=1)
    rev = Reverse(sde, lambda u, t: eps, SeededNoise(0, range(3)))
    out = DDIM().solve(rev, u, torch.stack([t, s]))
    high, low = sde.kernel(t), sde.kernel(s)
    x = (u - high.chol[0, 0] * eps) / high.mean[0]
    assert close(out, low.mean[0] * x + low.chol[0, 0] * eps, 1e-12)
