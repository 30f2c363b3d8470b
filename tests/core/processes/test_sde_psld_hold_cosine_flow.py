"""PSLD, HOLD, the cosine schedule and the linear flow: moments, solvers on them, training."""

import math

import mpmath as mp
import numpy as np
import pytest
import torch
from support import oracles
from support.moments import moment_odes, start_of
from support.processes import f64

import sgmkit
from sgmkit import Batch, SeededNoise
from sgmkit.convergence.orders import at_tolerance, flow_errors, rms
from sgmkit.convergence.problems import Problem, gaussian, mixture
from sgmkit.testing import measured_order, run_checks
from sgmkit_networks.mlp import MLP
from sgmkit_sdes.cosine import Cosine
from sgmkit_sdes.hold import HOLD
from sgmkit_sdes.linear_flow import LinearFlow
from sgmkit_sdes.psld import PSLD
from sgmkit_sgm.sgm import Sgm
from sgmkit_solvers.adaptive_runge_kutta import RK45
from sgmkit_solvers.ddim import DDIM
from sgmkit_solvers.euler_maruyama import Euler
from sgmkit_solvers.heun import Heun
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
    loss = model.loss(batch, SeededNoise(4, ids), 0.5)
    assert float(loss.parts["noise"]) == pytest.approx(1.0, rel=0.1)
    loss.total.backward()
    slopes = [p.grad for p in model.parameters() if p.grad is not None]
    assert bool(loss.total.isfinite())
    assert all(bool(slope.isfinite().all()) for slope in slopes)
    assert sum(float(slope.abs().sum()) for slope in slopes) > 0
    match = model.match(batch, SeededNoise(4, ids))
    assert match.error.shape == (rows, sde.driven, 2)
