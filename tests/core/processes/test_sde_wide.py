"""PSLD, HOLD, the cosine schedule and the linear flow: their laws, solvers on them, training."""

import math

import mpmath as mp
import numpy as np
import pytest
import torch
from support import oracles
from support.golden_solvers_data import MIXTURE
from support.moments import moment_odes, start_of
from support.processes import f64

import sgmkit
from sgmkit import Batch, Reverse, SeededNoise
from sgmkit.convergence.orders import at_tolerance, flow_errors, rms
from sgmkit.convergence.probes import SilentNoise
from sgmkit.convergence.problems import Problem, gaussian, mixture
from sgmkit.testing import measured_order, run_checks
from sgmkit_exact.exact import Exact
from sgmkit_networks.mlp import MLP
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.cosine import Cosine
from sgmkit_sdes.hold import HOLD
from sgmkit_sdes.linear_flow import LinearFlow
from sgmkit_sdes.psld import PSLD
from sgmkit_sgm.sgm import Sgm
from sgmkit_solvers.ddim import DDIM
from sgmkit_solvers.euler import Euler
from sgmkit_solvers.heun import Heun
from sgmkit_solvers.rk45 import RK45
from sgmkit_solvers.ssem import SSEM

WIDE = {"psld": PSLD(), "hold": HOLD(), "cosine": Cosine(), "linear-flow": LinearFlow()}
OTHERS = {
    "psld-heavy": PSLD(beta=5.0, m_inv=9.0, gamma_x=0.25, gamma=0.2, numerical_eps=1e-6),
    "hold-2": HOLD(order=2),
    "hold-4": HOLD(order=4, beta=7.0, l_inv=0.5, gamma=0.3),
    "cosine-wide": Cosine(s=0.03),
    "linear-flow-blurred": LinearFlow(sigma_min=0.02),
}
SEVERAL = {name: sde for name, sde in (WIDE | OTHERS).items() if sde.phases > 1}

# Laws ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WIDE)
def test_offered_by_name(name):
    assert sgmkit.create("sde", name) == WIDE[name]


@pytest.mark.parametrize("name", [name for name in OTHERS if name != "hold-4"])
def test_other_options_conform(name):
    """Beyond order 3 the signal-to-noise ratio of HOLD is flat to rounding where t is small."""
    assert [x for x in run_checks("sde", OTHERS[name]) if not x.ok] == []


@pytest.mark.parametrize("name", WIDE | OTHERS)
def test_moments_solve_their_odes(name):
    sde = (WIDE | OTHERS)[name]
    for early, late in ((0.0, 0.01), (0.0, 0.3), (0.0, 0.95), (0.4, 0.9)):
        begin, end = early * sde.horizon, late * sde.horizon
        start = np.zeros((sde.phases,) * 2) if early else start_of(sde)
        phi, cov = moment_odes(sde, begin, end, start)
        got_phi, got_cov = sde.transition(f64(begin), f64(end))
        if not early:
            kernel = sde.kernel(f64(end))
            assert np.allclose(kernel.mean, phi[:, 0], rtol=1e-9, atol=1e-10)
            got_cov = kernel.cov
        deviation = np.sqrt(np.diag(cov))
        assert np.allclose(got_phi, phi, rtol=1e-8, atol=1e-10)
        assert np.abs((got_cov.numpy() - cov) / np.outer(deviation, deviation)).max() < 1e-8


@pytest.mark.parametrize("name", SEVERAL)
def test_kernels_in_sixty_digits(name):
    sde = SEVERAL[name]
    times = f64([1e-6, 1e-4, 1e-2, 0.3, 1.0])
    kernel, norm = sde.kernel(times), float(f64(sde.drift_matrix).abs().sum(-2).max())
    for n, t in enumerate(times.tolist()):
        grain = torch.finfo(torch.float64).eps * max(64.0, 8 * norm * sde.beta * t)
        with mp.workdps(oracles.DIGITS):
            parts = sde.drift_matrix, sde.noise_matrix, sde.start_cov
            mean, cov, chol = oracles.kernel(*parts, mp.mpf(sde.beta) * mp.mpf(t))
        rows = mp.matrix([[mp.sqrt(cov[i, i])] * chol.cols for i in range(chol.rows)])
        assert oracles.relative(kernel.mean[n], mean, oracles.size(mean)) < 8 * grain
        assert oracles.relative(kernel.cov[n], cov, oracles.spread(cov)) < grain
        assert oracles.relative(kernel.chol[n], chol, rows) < grain


@pytest.mark.parametrize("sde", [PSLD(), OTHERS["psld-heavy"]])
def test_psld_closed_form(sde):
    """Pandey & Mandt's critically damped solution, and the way back to the stationary law."""
    x, nu, mass = sde.gamma_x, sde.gamma_x + 2 * math.sqrt(sde.m_inv), 1 / sde.m_inv
    stationary = np.diag([1.0, mass])
    start = np.diag([0.0, sde.gamma * mass]) + sde.numerical_eps * np.eye(2)
    for t in (0.1, 0.4, 1.0):
        b = sde.beta * t
        phi = math.exp(-(nu + x) * b / 4) * np.array(
            [[1 + (nu - x) * b / 4, (x - nu) ** 2 * b / 8], [-b / 2, 1 + (x - nu) * b / 4]]
        )
        cov = stationary + phi @ (start - stationary) @ phi.T
        kernel = sde.kernel(f64(t))
        assert np.allclose(sde.transition(f64(0.0), f64(t))[0], phi, rtol=1e-12, atol=1e-15)
        assert np.allclose(kernel.mean, phi[:, 0], rtol=1e-12, atol=1e-15)
        assert np.allclose(kernel.cov, cov, rtol=1e-12, atol=1e-15)


def test_psld_coefficients():
    """The paper's equation, entry by entry: noise in both phases, unless Gx is zero."""
    sde, t = PSLD(beta=5.0, m_inv=9.0, gamma_x=0.25), f64(0.3)
    assert np.allclose(sde.drift(t), 2.5 * np.array([[-0.25, 9.0], [-1.0, -6.25]]))
    assert np.allclose(sde.diffusion(t), 5.0 * np.diag([0.25, 6.25 / 9]))
    assert torch.equal(sde.prior_cov(), f64([[1.0, 0.0], [0.0, 1 / 9]]))
    assert (PSLD().driven, PSLD(gamma_x=0.0).driven) == (2, 1)


TWINS = [
    (PSLD(gamma_x=0.0), CLD()),
    (PSLD(6.0, 2.5, 0.0, 0.1, 1e-6), CLD(3.0, 0.0, 2.5, 0.1, 1e-6)),
    (HOLD(order=2, beta=8.0), CLD(8.0, m_inv=1.0)),
]


@pytest.mark.parametrize(("sde", "cld"), TWINS)
def test_both_contain_cld(sde, cld):
    """PSLD without noise in x at twice beta, and HOLD of order 2: the same laws and samples."""
    times = f64([1e-5, 1e-3, 0.1, 0.6, 1.0])
    pairs = [(sde.kernel(times).chol, cld.kernel(times).chol)]
    pairs += [(sde.kernel(times).mean, cld.kernel(times).mean)]
    pairs += zip(
        sde.transition(0.5 * times, times), cld.transition(0.5 * times, times), strict=True
    )
    pairs += [(sde.prior_cov(), cld.prior_cov()), (f64(sde.start_cov), f64(cld.start_cov))]
    for got, want in pairs:
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-15)
    grid = sgmkit.time_grid("logsnr", cld, 12, 1e-3)
    start = SeededNoise(1, range(6))(torch.empty(6, 2, 2, dtype=torch.float64))
    for solver in (Euler(), DDIM(), Heun(), SSEM()):
        ends = [
            solver.solve(Reverse(x, Exact(x, MIXTURE).eps, SeededNoise(2, range(6))), start, grid)
            for x in (sde, cld)
        ]
        torch.testing.assert_close(*ends, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("order", [2, 3, 4, 5, 6])
def test_hold_is_critically_damped(order):
    """One eigenvalue, ``(A - lam I)^n = 0``, so that the exponential is a polynomial's."""
    sde, lam = HOLD(order=order), -math.sqrt(2 * order - 3)
    rest = np.array(sde.drift_matrix) - lam * np.eye(order)
    grain = 1e-15 * np.linalg.norm(rest, 1) ** order
    assert np.abs(np.linalg.matrix_power(rest, order)).max() < grain
    assert np.abs(np.linalg.matrix_power(rest, order - 1)).max() > 0.5
    tau = sde.beta * 0.3
    powers = [np.linalg.matrix_power(rest, k) * tau**k / math.factorial(k) for k in range(order)]
    phi = math.exp(lam * tau) * sum(powers)
    assert np.allclose(sde.transition(f64(0.0), f64(0.3))[0], phi, rtol=1e-11, atol=1e-13)


def test_hold_of_order_three_is_the_papers():
    root = math.sqrt(8)
    want = [[0.0, 1.0, 0.0], [-1.0, 0.0, root], [0.0, -root, -3 * math.sqrt(3)]]
    assert np.allclose(HOLD().drift_matrix, want, rtol=1e-15, atol=0)
    assert np.allclose(HOLD().noise_matrix, np.diag([0.0, 0.0, 6 * math.sqrt(3)]), rtol=1e-15)


def test_hold_scales_with_its_stationary_variance():
    """All that is random is in units of 1/L; what the data does is not."""
    unit, wide = HOLD(numerical_eps=0.0), HOLD(l_inv=4.0, numerical_eps=0.0)
    times = f64([0.01, 0.2, 1.0])
    torch.testing.assert_close(wide.kernel(times).mean, unit.kernel(times).mean)
    torch.testing.assert_close(wide.kernel(times).chol, 2 * unit.kernel(times).chol)
    assert torch.equal(wide.prior_cov(), 4 * torch.eye(3, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("s", [0.008, 0.03])
def test_cosine_schedule(s, dtype):
    """Nichol & Dhariwal's alpha_bar in many digits, of the data and of what it lacks to one."""
    sde, eps = Cosine(s), torch.finfo(dtype).eps
    for t in (1e-6, 1e-3, 0.3, 0.8, 0.999):
        now = torch.tensor(t, dtype=dtype)
        with mp.workdps(50):
            angles = [(mp.mpf(float(x)) + s) / (1 + mp.mpf(s)) * mp.pi / 2 for x in (now, 0.0)]
            kept = (mp.cos(angles[0]) / mp.cos(angles[1])) ** 2
            mean, var = float(mp.sqrt(kept)), float(1 - kept)
        kernel = sde.kernel(now)
        assert float(kernel.mean) == pytest.approx(mean, rel=16 * eps / mean)
        assert float(kernel.cov) == pytest.approx(var, rel=16 * eps)


def test_cosine_ends_before_the_step_that_the_paper_clips():
    """Its 1,000 values of beta, from the paper's formula: one exceeds 0.999, the last."""
    angle = (np.arange(1001) / 1000 + 0.008) / 1.008 * np.pi / 2
    kept = np.cos(angle) ** 2
    beta = 1 - kept[1:] / kept[:-1]
    assert (beta > 0.999).nonzero()[0].tolist() == [999]
    end = Cosine().kernel(f64(Cosine.horizon))
    assert float(end.mean) ** 2 == pytest.approx(kept[999] / kept[0], rel=1e-9)
    assert 2e-6 < float(end.snr) < 3e-6


@pytest.mark.parametrize("sigma_min", [0.0, 0.02])
def test_flow_follows_its_conditional_velocity(sigma_min):
    """``E[(1 - sigma_min) eps - x | u_t]`` (Lipman et al., eq. 23, in our time), by Bayes' rule."""
    sde = LinearFlow(sigma_min)
    weights, means, variances = (v.numpy() for v in mixture_parts())
    for t in (0.02, 0.3, 0.9):
        sigma = sigma_min + (1 - sigma_min) * t
        u = np.random.default_rng(0).normal(size=(7, 2))
        total = (1 - t) ** 2 * variances + sigma**2
        apart = u[:, None] - (1 - t) * means
        logits = np.log(weights) - 0.5 * (apart**2 / total + np.log(total)).sum(-1)
        share = np.exp(logits - logits.max(1, keepdims=True))
        share /= share.sum(1, keepdims=True)
        x = (share[..., None] * (means + (1 - t) * variances / total * apart)).sum(1)
        eps = (u - (1 - t) * x) / sigma
        rev = Reverse(sde, Exact(sde, MIXTURE).eps, SilentNoise(7))
        velocity = rev.velocity(torch.from_numpy(u)[:, None], f64(t))[:, 0]
        assert np.allclose(velocity, (1 - sigma_min) * eps - x, rtol=1e-9, atol=1e-9)


def mixture_parts():
    law = MIXTURE.mixture()
    return law.weights, law.means, law.variances


# Solvers ------------------------------------------------------------------------------------------

SOLVERS = {
    "euler": (Euler(), 1),
    "ddim": (DDIM(), 1),
    "ssem": (SSEM(), 1),
    "ssem-midpoint": (SSEM(kick="midpoint"), 2),
    "heun": (Heun(), 2),
}


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", WIDE)
def test_solvers_keep_their_order(name, solver):
    sde, (method, order) = WIDE[name], SOLVERS[solver]
    if isinstance(sde, LinearFlow) and isinstance(method, SSEM):
        assert "constant matrices on a clock" in method.supports(sde)
        return
    assert method.supports(sde) is None
    problem = Problem(sde, gaussian() if method.stochastic else mixture())
    assert abs(measured_order(method, problem).value - order) < 0.15


@pytest.mark.parametrize("name", WIDE)
def test_rk45_keeps_its_tolerance(name):
    problem = Problem(WIDE[name], mixture())
    errors, calls = [], []
    for tolerance in (1e-3, 1e-6):
        solver = at_tolerance(RK45(), tolerance)
        nfe, distance = flow_errors(solver, problem, problem.grid(1), 16)
        errors.append(rms(distance))
        calls.append(nfe)
        assert errors[-1] < 10 * tolerance
    assert math.log(errors[0] / errors[1]) / math.log(calls[1] / calls[0]) > 4


# Training -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WIDE)
def test_training(name):
    """A fresh network answers zero: its noise error is the noise, one for each driven channel."""
    sde, rows = WIDE[name], 4000
    with torch.random.fork_rng():
        model = Sgm((2,), sde, lambda **shapes: MLP(**shapes, width=16, depth=1))
    ids = torch.arange(rows)
    batch = Batch(SeededNoise(3, ids)(torch.empty(rows, 2)), None, ids)
    found = model.loss(batch, SeededNoise(4, ids), 0.5)
    assert float(found.parts["noise"]) == pytest.approx(1.0, rel=0.1)
    found.total.backward()
    slopes = [p.grad for p in model.parameters() if p.grad is not None]
    assert bool(found.total.isfinite())
    assert all(bool(slope.isfinite().all()) for slope in slopes)
    assert sum(float(slope.abs().sum()) for slope in slopes) > 0
    match = model.match(batch, SeededNoise(4, ids))
    assert match.error.shape == (rows, sde.driven, 2)
