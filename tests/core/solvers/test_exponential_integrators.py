"""Moments of exponential integrators, against ODEs whose matrices are written out here."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad, solve_ivp
from scipy.special import factorial
from support.processes import EVERY, Flow, f64

from sgmkit.errors import BadValue
from sgmkit.processes import flow_factor, noise_level, time_at_snr, times_between, variable_and_rate
from sgmkit.solvers import FORMS, moments
from sgmkit.solvers.exponential_integrators import moments_by_rule, weights
from sgmkit_sdes.cosine import Cosine
from sgmkit_sdes.hold import HOLD
from sgmkit_sdes.linear_flow import LinearFlow
from sgmkit_sdes.psld import PSLD
from sgmkit_sdes.vp import VP

SDES = {name: EVERY[name] for name in ("vp", "ve", "subvp", "cld", "cld-sloped", "third")}


SDES |= {"pair": EVERY["pair"], "psld": PSLD(), "hold": HOLD()}


CASES = [(n, form) for n in SDES for form in FORMS]


CASES = [(n, f) for n, f in CASES if n not in ("cld-sloped", "pair")]
CASES.remove(("subvp", "equilibrium"))


STEPS = ((0.9, 0.5), (0.3, 0.05))


def split(form, drift, noise, low, mean, factor, precision, r, eta):
    """A and g of ``du = A u + g q``, by plain inverses: see each form's own definition."""
    share, white = (1 + eta) / 2, np.linalg.inv(low)
    if form == "data":
        pull = share * noise @ white.T
        return drift + pull @ white, -pull @ (white @ mean)
    if form == "noise":
        return drift, share * noise @ np.linalg.inv(factor).T
    if form == "plain":
        return 0 * drift, np.eye(len(drift))
    push = share * noise[:, -r:] @ np.linalg.inv(low[-r:, -r:]).T
    return drift + (share * noise @ precision if form == "equilibrium" else 0), push


def variable_of(name, t, low, mean):
    snr = np.square(np.linalg.solve(low, mean)).sum()
    return {"t": t, "logsnr": np.log(snr) / 2, "sigma": snr**-0.5}[name]


def ode(sde, form, eta, variable, t, s, u, q, rtol=1e-7):
    """``u' = A u + g q(theta)`` and its noise's covariance, in log t, with R of its own ODE."""
    k, r = sde.phases, sde.driven
    precision = np.array(sde.precision) if len(sde.precision) else np.zeros((k, k))

    def known(now):
        kernel = sde.kernel(f64(now))
        low, mean = kernel.chol.numpy(), kernel.mean.numpy()[:, None]
        return low, mean, variable_of(variable, now, low, mean)

    start, end = known(t)[2], known(s)[2]

    def slope(x, y):
        now, state, (factor, spread) = np.exp(x), y[:k], y[k:].reshape(2, k, k)
        drift, noise = sde.drift(f64(now)).numpy(), sde.diffusion(f64(now)).numpy()
        low, mean, value = known(now)
        a, g = split(form, drift, noise, low, mean, factor, precision, r, eta)
        white = np.linalg.inv(low)
        flow = (drift + noise @ white.T @ white / 2) @ factor
        moved = a @ state + g @ q((value - start) / (end - start))
        return now * np.concatenate(
            [moved, np.ravel([flow, a @ spread + spread @ a.T - eta * noise])]
        )

    at = np.concatenate([u, flow_factor(sde, f64(t)).numpy().ravel(), np.zeros(k * k)])
    path = solve_ivp(slope, np.log([t, s]), at, method="DOP853", rtol=rtol, atol=1e-12)
    return path.y[:k, -1], path.y[-k * k :, -1].reshape(k, k)


def step_error(sde, form, eta, variable, ends, nodes):
    """Steps of all ``ends`` at once with answers that are parabolas, in units of the deviation."""
    random = np.random.default_rng(5)
    t, s = f64(ends).T * sde.horizon
    made = FORMS[form](sde, eta)
    moment = moments(made, variable, t, s, len(nodes))
    matrices = weights(moment, f64([nodes] * len(t)))
    carry, spread, errors = made.propagator(t, s), made.noise_cov(t, s), []
    for i in range(len(t)):
        u = random.standard_normal(sde.phases)
        parts = random.standard_normal((len(nodes), moment.shape[-1]))

        def q(theta, parts=parts):
            return np.polynomial.polynomial.polyval(theta, parts)

        want, cov = ode(sde, form, eta, variable, float(t[i]), float(s[i]), u, q)
        got = carry[i].numpy() @ u
        for matrix, node in zip(matrices[i].numpy(), nodes, strict=True):
            got = got + matrix @ q(node)
        kernel = sde.kernel(s[i])
        size = (kernel.cov.diagonal() + kernel.mean.square()).sqrt().numpy()
        size = np.maximum(size, np.abs(carry[i].numpy() @ u))
        errors.append(np.abs(got - want) / size)
        errors.append((np.abs(spread[i].numpy() - cov) / size / size[:, None]).ravel())
    return max(error.max() for error in errors)


@pytest.mark.parametrize(("name", "form"), CASES)
def test_polynomial_answers_are_exact(name, form):
    """Three answers, anywhere: what a parabola would do, and the noise on the way."""
    variable = ("t", "logsnr", "sigma")[(list(FORMS).index(form) + list(SDES).index(name)) % 3]
    eta = 0.0 if form == "plain" else (1.0 if name == "vp" else 0.6)
    error = step_error(SDES[name], form, eta, variable, STEPS, (0.0, -0.7, -1.6))
    assert error < 3e-6


@pytest.mark.parametrize("variable", ["t", "logsnr", "sigma"])
def test_every_variable(variable):
    for name, form in (("vp", "data"), ("cld", "noise"), ("psld", "data")):
        assert step_error(SDES[name], form, 0.5, variable, STEPS[:1], (0.0, 0.5, 1.0)) < 3e-6


@pytest.mark.parametrize("form", ["data", "noise", "equilibrium"])
@pytest.mark.parametrize("name", ["vp", "cld"])
def test_long_steps_near_the_data(name, form):
    """What turns and bends over five decades of t is followed as well."""
    assert step_error(SDES[name], form, 0.0, "t", ((0.2, 1e-5),), (0.0, -0.5)) < 1e-5


@pytest.mark.parametrize("sde", [LinearFlow(), Cosine(), EVERY["geometric"], VP()], ids=str)
def test_ends_without_data_are_resolved(sde):
    """From the horizon, where rates are a million: by 300 nodes even in log-SNR."""
    t, s = f64([1.0, 0.9, 1.0]) * sde.horizon, f64([0.9, 1e-3, 1e-5]) * sde.horizon
    start, stop = (0.5 * sde.kernel(x).snr.log() for x in (t, s))
    data, noise = (moments(FORMS[form](sde), "t", t, s, 3)[..., 0, 0] for form in ("data", "noise"))
    nodes, mass = map(f64, np.polynomial.legendre.leggauss(300))
    for i, end in enumerate(s):
        width = stop[i] - start[i]
        level = start[i] + width * (1 + nodes) / 2
        theta = (time_at_snr(sde, 2 * level, float(end)) - t[i]) / (end - t[i])
        powers = theta ** torch.arange(3)[:, None] @ torch.diag(mass) * width / 2
        size = sde.kernel(end).chol[0, 0] * width.exp()
        of_data = sde.kernel(end).mean * (powers @ torch.exp(level - stop[i]))
        of_noise = -size * (powers @ torch.exp(start[i] - level))
        assert torch.allclose(data[i], of_data, rtol=1e-8, atol=1e-9)
        assert torch.allclose(noise[i], of_noise, rtol=1e-8, atol=1e-11 * float(size))


def phi(count, z):
    """``phi_{i+1}(z) = int_0^1 e^{z (1 - x)} x^i / i! dx`` for i below count."""
    rows = [
        quad(lambda x, i=i: np.exp(z * (1 - x)) * x**i, 0, 1, epsabs=1e-13) for i in range(count)
    ]
    return f64([row[0] / factorial(i) for i, row in enumerate(rows)])


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("name", ["vp", "ve", "subvp"])
def test_one_phase_has_phi_functions(name, eta):
    """DPM-Solver++'s and DPM-Solver's coefficients, for any noise."""
    sde, t, s = SDES[name], f64([0.8]), f64([0.3])
    begin, end = sde.kernel(t), sde.kernel(s)
    h = float(end.snr.log() - begin.snr.log()) / 2
    order = f64([1.0, 1.0, 2.0, 6.0])
    data, noise = (
        moments(FORMS[form](sde, eta), "logsnr", t, s, 4)[0, :, 0, 0] for form in ("data", "noise")
    )
    share = (1 + eta) * h
    assert torch.allclose(data, end.mean * share * order * phi(4, -share), rtol=1e-9)
    assert torch.allclose(noise, -end.chol[0] * share * order * phi(4, h), rtol=1e-9)


def test_equal_steps_have_adams_weights():
    """Without a linear part the textbook's numbers come out."""
    moment = (1 / f64([1.0, 2.0, 3.0, 4.0])).reshape(1, 4, 1, 1)
    for nodes, want in (
        ((0, -1), (3 / 2, -1 / 2)),
        ((0, -1, -2, -3), (55 / 24, -59 / 24, 37 / 24, -9 / 24)),
        ((1, 0, -1), (5 / 12, 8 / 12, -1 / 12)),
    ):
        got = weights(moment, f64([nodes])).flatten()
        assert torch.allclose(got, f64(want), rtol=1e-13)


@pytest.mark.parametrize("variable", ["t", "logsnr", "sigma"])
@pytest.mark.parametrize("name", SDES)
def test_coordinate_and_its_slope(name, variable):
    sde, t = SDES[name], f64([0.02, 0.4, 0.9]) * SDES[name].horizon
    value, slope = variable_and_rate(sde, variable, t)
    for i, now in enumerate(t):
        kernel = sde.kernel(now)
        want = variable_of(variable, float(now), kernel.chol.numpy(), kernel.mean.numpy()[:, None])
        assert float(value[i]) == pytest.approx(want, rel=1e-9)
    h = 1e-4 * t
    wide, near = (
        variable_and_rate(sde, variable, t + n * h)[0]
        - variable_and_rate(sde, variable, t - n * h)[0]
        for n in (2, 1)
    )
    assert torch.allclose(slope, (8 * near - wide) / (12 * h), rtol=1e-7)


@pytest.mark.parametrize("name", SDES)
def test_places_are_even(name):
    sde = SDES[name]
    t, s = f64([0.9, 0.5, 0.1]) * sde.horizon, f64([0.5, 0.49, 1e-3]) * sde.horizon
    for variable in ("t", "sqrt", "logsnr", "sigma"):

        def value(x, variable=variable):
            return x.sqrt() if variable == "sqrt" else variable_and_rate(sde, variable, x)[0]

        for share in (0.0, 1 / 3, 0.9, 1.0):
            between = value(times_between(sde, variable, t, s, share))
            want = value(t) + share * (value(s) - value(t))
            assert torch.allclose(between, want, rtol=1e-8, atol=1e-8)


def test_an_unknown_variable():
    with pytest.raises(BadValue, match="variable 'tau' is none of t, logsnr, sigma"):
        variable_and_rate(VP(), "tau", f64([0.5]))


@pytest.mark.parametrize("name", ["vp", "cld", "psld"])
def test_rules_of_published_codes(name):
    """``half`` and ``end`` are of the slope, ``third`` of the curvature, and nothing else moves."""
    sde = SDES[name]
    t, s = f64([0.8, 0.3]) * sde.horizon, f64([0.5, 0.1]) * sde.horizon
    for form in ("data", "noise"):
        made = FORMS[form](sde)
        exact = moments(made, "logsnr", t, s, 3)
        half, end, third = (
            moments_by_rule(made, "logsnr", t, s, 3, r) for r in ("half", "end", "third")
        )
        assert torch.equal(half[:, 1], exact[:, 0] / 2)
        assert torch.equal(half[:, [0, 2]], exact[:, [0, 2]])
        width = 0.5 * (sde.kernel(s).snr / sde.kernel(t).snr).log()
        h = 1e-5 * s
        slope = -(noise_level(sde, s + h) / noise_level(sde, s - h)).log() / (2 * h)
        assert torch.allclose(
            end[:, 1], made.rate(s) * (width / slope / 2)[:, None, None], rtol=1e-7
        )
        assert torch.equal(end[:, [0, 2]], exact[:, [0, 2]])
        assert torch.equal(third[:, 2], exact[:, 2] / 2)
        assert torch.equal(third[:, :2], exact[:, :2])
        assert torch.equal(moments_by_rule(made, "logsnr", t, s, 1, "half"), exact[:, :1])


def test_steps_do_not_see_their_neighbours():
    """Each has its own panels, however many the others need."""
    for sde in (VP(), SDES["cld"], SDES["third"]):
        t, s = f64([1.0, 0.5, 0.3]) * sde.horizon, f64([0.9, 1e-2, 0.29]) * sde.horizon
        for form in ("data", "noise"):
            made = FORMS[form](sde)
            together = moments(made, "logsnr", t, s, 2)
            for i in range(3):
                alone = moments(made, "logsnr", t[i : i + 1], s[i : i + 1], 2)
                assert torch.allclose(alone[0], together[i], rtol=1e-9, atol=1e-12)


def test_a_horizon_without_any_data_does_not_hang():
    """The signal-to-noise ratio is zero there: what comes out is not finite, as the rates are."""
    moment = moments(FORMS["data"](Flow()), "t", f64([1.0]), f64([0.5]), 2)
    assert moment.shape == (1, 2, 1, 1)
