"""SSEM: its step by matrix exponentials, its draws, when it calls the network, and its law."""

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from support.golden_solvers_data import MIXTURE, SDES, affine, close, numbers, times
from support.laws import assert_law

from sgmkit import ClockedSDE, Reverse, SeededNoise, time_grid
from sgmkit_exact.exact import Exact
from sgmkit_sdes.vp import VP
from sgmkit_solvers.euler_maruyama import Euler
from sgmkit_solvers.heun import Heun
from sgmkit_solvers.ssem import SSEM

CLOCKED = {name: sde for name, sde in SDES.items() if isinstance(sde, ClockedSDE)}


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


def test_the_network_is_called_in_the_middle():
    assert call_times(SSEM(score_time="midpoint")) == pytest.approx([0.7, 0.4])
    assert call_times(SSEM(kick="midpoint")) == pytest.approx([0.7, 0.7, 0.4, 0.4])
    assert call_times(Heun()) == pytest.approx([0.8, 0.6, 0.6, 0.2])


def call_times(solver):
    seen = []
    rev = Reverse(VP(), lambda u, t: (seen.append(float(t)), u)[1], SeededNoise(0, range(2)))
    solver.solve(rev, numbers(2, 1, 3), torch.tensor([0.8, 0.6, 0.2], dtype=torch.float64))
    return seen


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
