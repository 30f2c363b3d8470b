"""gDDIM for CLD as released, with the exact score (tests/golden).

Its coefficients are left-endpoint sums; its R comes from 100000 steps of Euler's method, or of a
Runge-Kutta method, which are then taken for 99999, so that it is R at t/1.00001. With these two in
place of ours the runs agree to 1e-6; without, as an error of 1e-3 in each coefficient allows.
"""

from functools import cache

import pytest
import torch
from support.golden_data import GDDIM, load
from support.golden_solvers_data import MIXTURE, close, left_sums

from sgmkit import RecordedNoise, Reverse
from sgmkit.processes import act_on_phases, flow_factor
from sgmkit.solvers import NoiseForm, moments, multistep_operators
from sgmkit.solvers.forms import CholeskyForm
from sgmkit_exact.exact import Exact
from sgmkit_sdes.cld import CLD
from sgmkit_solvers.exponential_multistep import DEIS

EXACT = Exact(CLD(beta_0=4.0, beta_1=0.0, m_inv=4.0, gamma=0.04, numerical_eps=0.0), MIXTURE)
"""The network's score knows no numerical_eps."""
EPS = torch.tensor(1e-3, dtype=torch.float64)


def score(u, t):
    """Of both phases, ``(B, 2, 2)``."""
    with torch.enable_grad():
        point = u.clone().requires_grad_()
        return torch.autograd.grad(EXACT.log_prob(point, t).sum(), point)[0]


@cache
def euler_factors():
    """R at all of Euler's steps, ``(100001, 2, 2)``: ``R' = F R + 1/2 D R^{-T}``."""
    half = torch.tensor(0.5, dtype=torch.float64)  # beta is constant
    (f00, f01), (f10, f11) = GDDIM.drift(half).tolist()
    push, h = float(GDDIM.diffusion(half)[1, 1]) / 2, 1e-5
    a, b, c, d = GDDIM.start_cov[0][0] ** 0.5, 0.0, 0.0, GDDIM.start_cov[1][1] ** 0.5
    rows = [(a, b, c, d)]
    for _ in range(100_000):
        gain = push / (a * d - b * c)  # the last row of R^{-T} is (-b, a) over the determinant
        a, b, c, d = (
            a + h * (f00 * a + f01 * c),
            b + h * (f00 * b + f01 * d),
            c + h * (f10 * a + f11 * c - gain * b),
            d + h * (f10 * b + f11 * d + gain * a),
        )
        rows.append((a, b, c, d))
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 2, 2)


def euler_factor(sde, t):
    """Interpolated, by the released clock."""
    place = t * 99999
    before = place.long()
    table, part = euler_factors(), (place - before)[..., None, None]
    return torch.lerp(table[before], table[before + 1], part)


def late_factor(sde, t):
    return flow_factor(sde, t / 1.00001)


FACTORS = {"rk": late_factor, "euler": euler_factor}
AGREE = {"rk": 2e-6, "euler": 1e-7}
"""Runs on the released sums and R; that of the Runge-Kutta method is interpolated, ours is not."""


def as_released(monkeypatch, kind):
    """With the released sums and R."""
    monkeypatch.setattr("sgmkit.solvers.exponential_integrators.moments", left_sums)
    monkeypatch.setattr("sgmkit.solvers.forms.flow_factor", FACTORS[kind])


class Fresh(DEIS):
    """As it is no data class of its own, no table of it is remembered."""


def run(order, golden, denoise, factor=flow_factor, whole=True):
    """The end of a run, ``(B, 2, 2)``: coordinate, then phase.

    Args:
        denoise: whether it ends with an Euler step on the reverse SDE, the mean of it only.
        factor: R of the whole noise ``-R^T s`` that the model predicts.
        whole: whether it does, and not the velocity's alone.
    """

    def of_velocity(u, t):
        return -score(u, t)[:, 1:] * GDDIM.kernel(t).chol[1, 1]

    def of_both(u, t):
        return -act_on_phases(factor(GDDIM, t[None])[0].mT, score(u, t))

    rev = Reverse(GDDIM, of_velocity, RecordedNoise([]), whole=of_both if whole else None)
    times = golden["rev_ts_den" if denoise else "rev_ts"]
    u = Fresh(order + 1).solve(rev, golden["u_T"].mT.contiguous(), times)
    if denoise:
        u = u + EPS * (
            act_on_phases(GDDIM.diffusion(EPS), score(u, EPS)) - act_on_phases(GDDIM.drift(EPS), u)
        )
    return u.mT


def table(form, order, times):
    """Our coefficients as gDDIM stores them, ``(steps, order + 3, 2, 2)``."""
    counts = [min(order + 1, i + 1) for i in range(len(times) - 1)]
    steps = multistep_operators(form, "t", times, counts, lambda _: "exact")
    out = torch.zeros(len(counts), order + 3, 2, 2, dtype=torch.float64)
    for row, count, step in zip(out, counts, steps, strict=True):
        matrix = torch.tensor(step.rows, dtype=torch.float64)
        row[0], parts = matrix[:, :2], matrix[:, 2:].unflatten(1, (count, -1)).transpose(0, 1)
        row[1 : count + 1, :, -parts.shape[-1] :] = parts
    return out


def test_process():
    golden = load("gddim_cld")
    t, times = golden["t"], golden["rev_ts"]
    assert close(GDDIM.kernel(t).cov, golden["Sigma_exact"], 1e-12)
    assert close(GDDIM.transition(times[:-1], times[1:])[0], golden["psi"], 1e-12)
    place = torch.tensor(0.4, dtype=torch.float64)
    assert close(score(golden["u_T"].mT, place).mT, golden["score_probe"], 1e-12)


def test_factor():
    golden = load("gddim_cld")
    t, times = golden["t"], golden["rev_ts"]
    ours = flow_factor(GDDIM, t)
    assert close(ours @ ours.mT, GDDIM.kernel(t).cov, 1e-12)
    for kind, error in (("rk", 2e-4), ("euler", 1e-2)):
        for name, now in ((f"R_{kind}", t), (f"R_rev_{kind}", times)):
            assert close(flow_factor(GDDIM, now), golden[name], error)
            assert close(FACTORS[kind](GDDIM, now), golden[name], 1e-8)


@pytest.mark.parametrize("kind", FACTORS)
def test_coefficients_of_euler_steps(monkeypatch, kind):
    """Not a method of ours: the form's parts make it."""
    golden = load("gddim_cld")
    times, unit = golden["rev_ts"], torch.eye(2, dtype=torch.float64)
    h, start = times.diff()[:, None, None], times[:-1]
    assert close(unit + h * GDDIM.drift(start), golden[f"naive_x_{kind}"], 1e-12)
    as_released(monkeypatch, kind)
    assert close(h * NoiseForm(GDDIM).rate(start), golden[f"naive_eps_{kind}"], 1e-7)


@pytest.mark.parametrize("order", range(4))
def test_coefficients(monkeypatch, order):
    golden = load("gddim_cld")
    ours = table(NoiseForm(GDDIM), order, golden["rev_ts"])
    assert close(ours, golden[f"coef{order}_rk"], 1e-3)
    for kind in FACTORS:
        as_released(monkeypatch, kind)
        released = table(NoiseForm(GDDIM), order, golden["rev_ts"])
        assert close(released, golden[f"coef{order}_{kind}"], 1e-6)


class EulerCholesky(CholeskyForm):
    """With the factor that belongs to Euler's R."""

    def rate(self, t):
        factor = euler_factor(self.sde, t)
        lower = torch.linalg.cholesky(factor @ factor.mT)
        return self.sde.diffusion(t)[..., 1:] / lower[..., 1:, 1:] / 2


@pytest.mark.parametrize("order", range(3))
def test_coefficients_with_the_cholesky_factor(monkeypatch, order):
    """Only the velocity's noise counts: the other column is zero."""
    golden = load("gddim_cld")
    times, reference = golden["rev_ts"], golden[f"Lcoef{order}"]
    assert close(table(CholeskyForm(GDDIM), order, times), reference, 1e-3)
    as_released(monkeypatch, "euler")
    assert close(table(EulerCholesky(GDDIM), order, times), reference, 1e-9)


@pytest.mark.parametrize("denoise", [False, True])
@pytest.mark.parametrize("order", range(4))
def test_runs(monkeypatch, order, denoise):
    """Tolerance of ours: as much as a change of all its moments by 1e-3 moves a run."""
    golden, name = load("gddim_cld"), f"deis{order}_{{}}_den{int(denoise)}"
    ours = run(order, golden, denoise)
    of_velocity = run(order, golden, denoise, whole=False)
    assert close(of_velocity, ours, 1e-5)  # numerical_eps is in what it takes the data from
    with monkeypatch.context() as patch:
        patch.setattr(
            "sgmkit.solvers.exponential_integrators.moments", lambda *args: 1.001 * moments(*args)
        )
        moved = run(order, golden, denoise)
    tolerance = float(((moved - ours).abs() / (1 + ours.abs())).max())
    assert 5e-3 < tolerance < 0.3
    for kind, factor in FACTORS.items():
        reference = golden[name.format(kind)]
        assert close(ours, reference, tolerance)
        with monkeypatch.context() as patch:
            as_released(patch, kind)
            assert close(run(order, golden, denoise, factor), reference, AGREE[kind])
