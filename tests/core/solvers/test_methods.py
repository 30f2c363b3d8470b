"""One step of each family by its formula, in matrices written out by hand."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from support.golden_solvers_data import MIXTURE, SDES, affine, close, numbers, times
from support.processes import EVERY, Pair, f64

from sgmkit import ClockedSDE, Reverse, SeededNoise
from sgmkit_exact.exact import Exact
from sgmkit_sdes.vp import VP, SubVP
from sgmkit_solvers.ancestral import Ancestral, ReverseDiffusion
from sgmkit_solvers.ddim import DDIM
from sgmkit_solvers.euler_and_midpoint import EulerFlow, Midpoint
from sgmkit_solvers.exponential_multistep import DEIS, DPMPP, Exponential
from sgmkit_solvers.phase_splitting import BAO, OBA
from sgmkit_solvers.predictor_corrector import PredictorCorrector
from sgmkit_solvers.runge_kutta import RungeKutta

SPLIT = [n for n, sde in SDES.items() if isinstance(sde, ClockedSDE) and sde.phases > 1]


def linear(sde):
    random = np.random.default_rng(3)
    gain = 0.3 * random.standard_normal((sde.driven, sde.phases))
    return torch.from_numpy(gain), torch.from_numpy(random.standard_normal((sde.driven, 1)))


def normal_noise(sde, t):
    """The whole score of N(0, c) data as a matrix on u, and the driven noise it implies."""
    kernel, c = sde.kernel(t), sde.data_var()
    score = -torch.linalg.inv(kernel.cov + c * kernel.mean[:, None] * kernel.mean)
    r = sde.driven
    return score, -kernel.chol[-r:, -r:].mT @ score[-r:]


@pytest.mark.parametrize("name", SDES)
def test_ddim_with_all_noise_is_the_posterior_step(name):
    """Two routes to one law: the reverse SDE of one point integrated, and Bayes' rule."""
    sde, k = SDES[name], SDES[name].phases
    gain, offset = linear(sde)
    for shares in ((0.9, 0.5), (1.0, 0.05), (0.2, 0.19)):
        ends = times(sde, *shares)
        one, other = (
            affine(solver, sde, lambda u, t: gain @ u + offset, ends, [k])
            for solver in (DDIM(lam=1.0), Ancestral())
        )
        tolerance = 1e-9 if k == 1 else 1e-5
        size = sde.kernel(ends[1]).cov.diagonal().sqrt()
        for a, b in zip(one[:2], other[:2], strict=True):
            assert float((a - b).abs().max() / a.abs().max()) < tolerance
        gap = (one[2] @ one[2].T - other[2] @ other[2].T) / size[:, None] / size
        assert float(gap.abs().max()) < tolerance


@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0, 1.7])
def test_ddim_noise_on_vp(lam):
    """gDDIM's scalar form: the noise kept is ``(snr_t/snr_s)^{lam^2/2}`` of the deviation."""
    t, s = f64(0.7), f64(0.4)
    bar_t, bar_s = (math.exp(-(0.1 * x + 19.9 * x**2 / 2)) for x in (0.7, 0.4))
    ratio = bar_t / (1 - bar_t) * (1 - bar_s) / bar_s
    spread = (1 - bar_s) * (1 - ratio ** (lam**2))
    eps = numbers(3, 1, 2, seed=1)
    u, z = numbers(3, 1, 2), numbers(3, 1, 2, seed=2)

    class Given(SeededNoise):
        def __call__(self, like):
            return z

    rev = Reverse(VP(), lambda u, t: eps, Given(0, range(3)))
    out = DDIM(lam=lam).solve(rev, u, torch.stack([t, s]))
    x = (u - (1 - bar_t) ** 0.5 * eps) / bar_t**0.5
    want = bar_s**0.5 * x + (1 - bar_s - spread) ** 0.5 * eps + spread**0.5 * z
    assert close(out, want, 1e-11)
    if lam == 1:  # DDPM's posterior variance
        posterior = (1 - bar_s) / (1 - bar_t) * (1 - bar_t / bar_s)
        assert spread == pytest.approx(posterior, rel=1e-12)


@pytest.mark.parametrize("name", ["vp", "ve", "subvp", "cld", "cld sloped", "third", "coupled"])
def test_forward_steps_turned_round(name):
    """On normal data, whose whole score is known: transitions alone, for any number of phases."""
    sde, k = SDES[name], SDES[name].phases
    ends = times(sde, 0.6, 0.35)
    t, s = ends
    score, noise = normal_noise(sde, t)
    (phi, cov), one = sde.transition(s, t), torch.eye(k).double()
    back = torch.linalg.inv(phi)
    start = torch.linalg.inv(sde.kernel(s).cov)
    posterior = torch.linalg.inv(start + phi.T @ torch.linalg.inv(cov) @ phi)
    for solver, mean, spread in (
        (Ancestral(), back @ (one + cov @ score), posterior),
        (Ancestral("forward"), back @ (one + cov @ score), cov),
        (ReverseDiffusion(), 2 * one - phi + cov @ score, cov),
        (ReverseDiffusion(0.4), 2 * one - phi + 0.7 * cov @ score, 0.4 * cov),
        (ReverseDiffusion(0.0), 2 * one - phi + 0.5 * cov @ score, 0 * cov),
    ):
        draws = [k] if solver.stochastic else []
        got = affine(solver, sde, lambda u, t: noise @ u, ends, draws)
        scale = 1 + mean.abs().max()
        assert float((got[0] - mean).abs().max() / scale) < 1e-7
        found = got[2] @ got[2].T if draws else 0 * cov
        assert close(found, spread, 1e-7)


@pytest.mark.parametrize("score_time", ["end", "start"])
@pytest.mark.parametrize("name", SPLIT)
def test_reduced_splitting(name, score_time):
    """O by a matrix exponential, then an Euler sweep that uses each phase once it has moved."""
    sde, k, r = SDES[name], SDES[name].phases, SDES[name].driven
    gain, offset = linear(sde)
    ends = times(sde, 0.7, 0.55)
    a, b, p = (np.array(m) for m in (sde.drift_matrix, sde.noise_matrix, sde.precision))
    h = float(sde.clock(ends[0]) - sde.clock(ends[1]))
    friction = np.zeros((k, k))
    friction[-r:, -r:] = b[-r:, -r:] @ p[-r:, -r:] / 2
    block = expm(np.block([[friction, b], [np.zeros((k, k)), -friction.T]]) * h)
    keep = block[k:, k:].T
    spread = keep @ block[:k, k:]
    now = ends[1] if score_time == "end" else ends[0]
    low = sde.kernel(now).chol[-r:, -r:].numpy()

    def sweep(u):
        eps = gain.numpy() @ u + offset[:, 0].numpy()
        pushed = b[:, -r:] @ -np.linalg.solve(low.T, eps)
        u = u.copy()
        for i in range(k - 1, -1, -1):
            u[i] += h * ((friction - a)[i] @ u + pushed[i])
        return u

    zero = sweep(np.zeros(k))
    matrix = np.stack([sweep(e) - zero for e in np.eye(k)], 1)
    for solver, want in (
        (OBA(score_time), (matrix @ keep, zero, matrix @ spread @ matrix.T)),
        (BAO(score_time), (keep @ matrix, keep @ zero, spread)),
    ):
        got = affine(solver, sde, lambda u, t: gain @ u + offset, ends, [r])
        got = got[0], got[1], got[2] @ got[2].T
        for one, other in zip(got, want, strict=True):
            np.testing.assert_allclose(one.numpy(), other, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", ["vp", "ve", "cld", "coupled"])
def test_annealed_correction(name):
    """``u_d + c L L^T s_d + sqrt(2 c) L z`` with ``c = 2 snr^2 |det Phi|^{2/k}``, then the step."""
    sde, k, r = SDES[name], SDES[name].phases, SDES[name].driven
    gain, offset = linear(sde)
    ends = times(sde, 0.8, 0.7)
    step = PredictorCorrector(predictor=ReverseDiffusion(), snr=0.2, corrections=2)
    got = affine(step, sde, lambda u, t: gain @ u + offset, ends, [r, r, k])
    plain = affine(ReverseDiffusion(), sde, lambda u, t: gain @ u + offset, ends, [k])
    phi = sde.transition(ends[1], ends[0])[0]
    size = 2 * 0.2**2 * float(torch.linalg.det(phi)) ** (2 / k)
    low = sde.kernel(ends[0]).chol[-r:, -r:]
    moved, kick = torch.eye(k).double(), torch.zeros(k, r).double()
    score = -torch.linalg.inv(low).T @ gain
    moved[-r:] += size * low @ low.T @ score
    kick[-r:] = (2 * size) ** 0.5 * low
    shift = torch.zeros(k).double()
    shift[-r:] = -size * low @ offset[:, 0]
    matrix = plain[0] @ moved
    assert close(got[0], matrix @ moved, 1e-10)
    assert close(got[1], plain[0] @ (moved @ shift + shift) + plain[1], 1e-10)
    assert close(got[2], torch.cat([matrix @ kick, plain[0] @ kick, plain[2]], 1), 1e-10)


@pytest.mark.parametrize("norms", ["sample", "batch"])
def test_langevin_correction(norms):
    """Score-SDE's rule on one phase: ``2 alpha (snr |z|/|s|)^2``, of samples or of the batch."""
    sde, ends = VP(), f64([0.8, 0.7])
    u, z = numbers(3, 1, 4), numbers(3, 1, 4, seed=1)
    sigma = float(sde.kernel(ends[0]).chol)
    score = -torch.sin(u) / sigma
    ratio = z.flatten(1).norm(dim=1), score.flatten(1).norm(dim=1)
    if norms == "batch":
        ratio = tuple(x.mean().expand(3) for x in ratio)
    alpha = float(sde.transition(ends[1], ends[0])[0]) ** 2
    size = (2 * alpha * (0.3 * ratio[0] / ratio[1]) ** 2)[:, None, None]
    want = u + size * score + (2 * size).sqrt() * z

    class Given(SeededNoise):
        def __call__(self, like):
            return z

    solver = PredictorCorrector(EulerFlow(), "langevin", 0.3, 1, norms)
    rev = Reverse(sde, lambda u, t: torch.sin(u), Given(0, range(3)))
    got = solver.solve(rev, u, ends)
    assert close(got, want + (ends[1] - ends[0]) * rev.velocity(want, ends[0]), 1e-11)
    assert solver.coupled == (norms == "batch")


@pytest.mark.parametrize("name", ["vp", "cld", "third"])
def test_classical_runge_kutta(name):
    """The textbook's steps on the velocity of the flow."""
    sde = SDES[name]
    t, s = times(sde, 0.8, 0.7)
    rev = Exact(sde, MIXTURE).reverse(SeededNoise(0, range(5)))
    u, h = numbers(5, sde.phases, 2), s - t
    one = rev.velocity(u, t)
    two = rev.velocity(u + h / 2 * one, t + h / 2)
    three = rev.velocity(u + h / 2 * two, t + h / 2)
    four = rev.velocity(u + h * three, s)
    grid = torch.stack([t, s])
    assert close(
        RungeKutta().solve(rev, u, grid), u + h / 6 * (one + 2 * (two + three) + four), 1e-11
    )
    assert close(Midpoint().solve(rev, u, grid), u + h * two, 1e-11)
    assert close(EulerFlow().solve(rev, u, grid), u + h * one, 1e-12)
    late = rev.velocity(u + 2 * h / 3 * one, t + 2 * h / 3)
    ralston = u + h * (one / 4 + 3 * late / 4)
    assert close(RungeKutta("ralston").solve(rev, u, grid), ralston, 1e-11)


def test_first_order_is_one_method():
    """One answer held: DDIM, whatever the form, where the form is exact for it."""
    for name in ("vp", "subvp", "ve", "cld", "third", "coupled"):
        sde, ends = SDES[name], times(SDES[name], 1.0, 0.4, 0.01)
        rev = Exact(sde, MIXTURE).reverse(SeededNoise(0, range(4)))
        kernel = sde.kernel(ends[0])
        u = kernel.mean[:, None] * numbers(4, 1, 2) + kernel.chol @ numbers(
            4, sde.phases, 2, seed=1
        )
        want = DDIM().solve(rev, u, ends)
        for solver in (DPMPP(max_order=1), DEIS(max_order=1), DEIS(max_order=1, variable="sigma")):
            assert close(solver.solve(rev, u, ends), want, 1e-6), (name, solver)


def test_no_equilibrium_is_refused_with_a_reason():
    for solver in (Exponential(), RungeKutta(form="equilibrium")):
        for sde in (SubVP(), Pair()):
            name = type(sde).__name__
            assert solver.supports(sde) == f"{name} has no equilibrium on a clock to split off"
        for name in ("vp", "ve", "cld", "third"):
            assert solver.supports(EVERY[name]) is None
    assert RungeKutta().supports(SubVP()) is None
    assert "there is one phase" in OBA().supports(VP())
    assert BAO().supports(Pair()) == "Pair has no equilibrium on a clock to relax to"
