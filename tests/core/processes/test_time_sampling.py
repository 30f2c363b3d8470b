"""Importance sampling of t: densities, inverses and identities, for every process and weighting."""

import numpy as np
import pytest
import torch
from support.golden_data import LSGM, LSGM_TIME_EPS, load
from support.processes import EVERY, f64

from sgmkit.errors import BadValue
from sgmkit.processes import TimeSampler, weight_matrix
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.ve import EDM
from sgmkit_sdes.vp import VP

WEIGHTINGS = ["likelihood", "reweighted", "unweighted", "edm"]
START = 1e-3  # of the horizon


def sampler(name, weighting, uniform=0.1):
    sde = EVERY[name]
    return sde, TimeSampler(sde, weighting, START * sde.horizon, uniform)


def fine(low, high, count=60_000):
    """Edges that resolve both ends, and the middles between them."""
    edges = np.union1d(np.linspace(low, high, count), np.geomspace(max(low, 1e-9), high, count))
    edges = f64(np.clip(edges, low, high))
    return edges, (edges[1:] + edges[:-1]) / 2


def expected_error(sde, t, weighting):
    """``1/2 E tr W Cov(eps_d | u)`` for N(0, c) data, by conditioning (x, eps) on u."""
    kernel, k, r, c = sde.kernel(t), sde.phases, sde.driven, sde.data_var()
    wide = torch.cat([kernel.mean[:, None], kernel.chol], 1)  # u = wide (x, eps)
    prior = torch.diag(f64([c] + [1.0] * k))
    cross = prior @ wide.T
    posterior = prior - cross @ torch.linalg.solve(wide @ prior @ wide.T, cross.T)
    weight = weight_matrix(sde, t, kernel, weighting)
    return 0.5 * float((weight * posterior[-r:, -r:]).sum())


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("name", EVERY)
def test_density_is_proportional_to_the_expected_loss(name, weighting):
    """The table's density is constant over a bin: right to 1 %, and exact for the likelihood."""
    sde, draws = sampler(name, weighting, uniform=0.0)
    times = f64([1.5e-3, 0.02, 0.1, 0.4, 0.8]) * sde.horizon
    want = f64([expected_error(sde, t, weighting) for t in times])
    ratio = draws.density(times) * draws.total / want
    assert float((ratio - 1).abs().max()) < (1e-6 if weighting == "likelihood" else 1e-2)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("name", EVERY)
def test_density_integrates_to_one(name, weighting):
    sde, draws = sampler(name, weighting)
    count = 3_000 if weighting == "likelihood" else 60_000
    edges, middles = fine(START * sde.horizon, sde.horizon, count)
    gaps = edges.diff()
    if weighting == "likelihood":  # smooth: two Gauss points of each interval
        half = gaps / 2 / 3**0.5
        mass = (draws.density(middles - half) + draws.density(middles + half)) / 2 * gaps
        assert float(mass.sum()) == pytest.approx(1.0, abs=1e-8)
    else:
        mass = draws.density(middles) * gaps
        assert float(mass.sum()) == pytest.approx(1.0, abs=1e-5)
    assert float(draws.density(middles).min()) >= 0.1 / (sde.horizon * (1 - START)) * (1 - 1e-12)


@pytest.mark.parametrize("uniform", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("name", EVERY)
def test_draws_follow_the_density(name, weighting, uniform):
    """Kolmogorov-Smirnov at stratified quantiles: no chance in it, so a tight bound."""
    sde, draws = sampler(name, weighting, uniform)
    n = 4_000
    quantile = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    t, density = draws.draw(quantile)
    assert t.dtype == torch.float64
    assert float(t.min()) >= START * sde.horizon
    assert float(t.max()) <= sde.horizon
    assert torch.equal(density, draws.density(t))
    edges, middles = fine(START * sde.horizon, sde.horizon, 4_000)
    cdf = torch.cat([f64([0.0]), (draws.density(middles) * edges.diff()).cumsum(0)])
    place = f64(np.interp(t.sort().values, edges, cdf))
    assert float((place - quantile).abs().max()) < 1e-3


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("name", EVERY)
def test_weighting_with_the_density_is_unbiased(name, weighting):
    sde, draws = sampler(name, weighting)
    n = 5_000
    t, density = draws.draw((torch.arange(n, dtype=torch.float64) + 0.5) / n)
    low, high = START * sde.horizon, sde.horizon
    assert float((1 / density).max()) <= 10 * (high - low) * (1 + 1e-12)  # what the 0.1 is for
    for power in (0, 1, 2):
        want = (high ** (power + 1) - low ** (power + 1)) / (power + 1)
        assert float((t**power / density).mean()) == pytest.approx(want, rel=1e-3)


@pytest.mark.parametrize("name", EVERY)
def test_likelihood_weighting_is_the_slope_of_the_information(name):
    """``1/2 c a_d^T W a_d / (1 + c |rho|^2) = - d/dt 1/2 log(1 + c |rho|^2)``, for every r."""
    sde, draws = sampler(name, "likelihood", uniform=0.0)
    c = sde.data_var()

    def information(t):
        return 0.5 * torch.log1p(c * sde.kernel(t).snr)

    t = f64([0.003, 0.03, 0.2, 0.6, 0.9]) * sde.horizon
    h = 1e-3 * t
    slope = (
        information(t - 2 * h)
        - 8 * information(t - h)
        + 8 * information(t + h)
        - information(t + 2 * h)
    ) / (12 * h)
    want = f64([expected_error(sde, one, "likelihood") for one in t])
    assert torch.allclose(-slope, want, rtol=1e-7)
    ends = f64([START * sde.horizon, sde.horizon])
    assert draws.total == pytest.approx(float(information(ends) @ f64([1.0, -1.0])), rel=1e-12)


@pytest.mark.parametrize("name", EVERY)
def test_likelihood_draws_are_uniform_in_the_information(name):
    """The inverse reaches rounding, at any quantile."""
    sde, draws = sampler(name, "likelihood", uniform=0.0)
    quantile = f64([1e-9, 1e-4, 0.1, 0.5, 0.9, 1 - 1e-4, 1 - 1e-7])
    t, _ = draws.draw(quantile)
    information = 0.5 * torch.log1p(sde.data_var() * sde.kernel(t).snr)
    full = 0.5 * torch.log1p(sde.data_var() * sde.kernel(f64(START * sde.horizon)).snr)
    assert torch.allclose((full - information) / draws.total, quantile, rtol=0, atol=1e-12)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("name", ["cld", "ve", "geometric"])
def test_a_noisy_start_is_sampled_from_zero(name, weighting):
    draws = TimeSampler(EVERY[name], weighting, 0.0)
    t, density = draws.draw(f64([1e-8, 0.3, 0.89999, 0.95, 1 - 1e-8]))
    assert bool((t >= 0).all() & (t <= 1).all())
    assert bool((density >= 0.1).all() & density.isfinite().all())


@pytest.mark.parametrize("sde", [VP(), EDM(), CLD(numerical_eps=0.0)])
def test_infinite_signal_to_noise_ratio(sde):
    with pytest.raises(BadValue) as caught:
        TimeSampler(sde, "likelihood", 0.0)
    assert str(caught.value) == (
        "the signal-to-noise ratio is infinite at t_min = 0.0: take t_min > 0, or an SDE that "
        "starts with noise in every phase"
    )


def test_draws_from_single_precision_numbers():
    draws = TimeSampler(CLD(), "likelihood", 1e-5)
    quantile = torch.tensor([1e-7, 0.5, 1 - 6e-8], dtype=torch.float32)
    t, density = draws.draw(quantile)
    assert t.dtype == density.dtype == torch.float64
    assert torch.equal(t, draws.draw(quantile.double())[0])
    assert bool((t >= 1e-5).all() & (t <= 1).all())


@pytest.mark.parametrize("name", ["cld", "vp", "ve", "third"])
def test_a_coarse_table_stays_in_its_bins(name):
    """Newton's step overshoots where a bin is wide; the draw is still one of that bin."""
    sde = EVERY[name]
    draws = TimeSampler(sde, "likelihood", 1e-5, uniform=0.0, bins=8)
    quantile = torch.linspace(1e-6, 1 - 1e-6, 500, dtype=torch.float64)
    t, _ = draws.draw(quantile)
    assert bool((t >= 1e-5).all() & (t <= 1).all() & (t.diff() >= 0).all())


def test_ends_of_the_quantiles():
    for uniform in (0.0, 0.1, 1.0):
        draws = TimeSampler(VP(), "likelihood", 0.01, uniform)
        t, _ = draws.draw(f64([0.0, 1.0]))
        assert t.tolist() == pytest.approx([0.01, 1.0], rel=1e-12)


# LSGM's closed forms. Its columns: t, var, m, weight of |e|^2, the same for the likelihood, g^2.


def lsgm(name, weighting, proposal=None):
    """Times, and both weights per |e|^2 at them, of LSGM's pure proposal (no uniform share)."""
    sde, start = LSGM[name], LSGM_TIME_EPS[name]
    draws = TimeSampler(LSGM[proposal or name], weighting, start, uniform=0.0)
    t, density = draws.draw(load("lsgm_iw")["rho"][1:-1])
    kernel = sde.kernel(t)
    weights = [
        weight_matrix(sde, t, kernel, w)[:, 0, 0] / 2 / density for w in (weighting, "likelihood")
    ]
    return torch.stack(
        [t, kernel.cov[:, 0, 0], kernel.mean[:, 0], *weights, sde.diffusion(t)[:, 0, 0]], 1
    )


def gaps(name, mode, got):
    want = load("lsgm_iw")[f"{name}__{mode}"][1:-1]  # rho strictly inside (0, 1)
    return ((got - want) / want).abs().amax(0).tolist()


@pytest.mark.parametrize("name", ["geometric", "vpsde", "vesde"])
def test_lsgm_likelihood(name):
    assert max(gaps(name, "ll_iw", lsgm(name, "likelihood"))) < 1e-9


def test_lsgm_likelihood_subvp():
    """LSGM draws sub-VP's times as if for VP; ours are sub-VP's own, so its proposal is named."""
    assert max(gaps("sub_vpsde", "ll_iw", lsgm("sub_vpsde", "likelihood", "vpsde"))) < 1e-9


@pytest.mark.parametrize("name", ["geometric", "vpsde", "vesde", "sub_vpsde"])
def test_lsgm_reweighted(name):
    """Ours is constant over a bin of 8,000: times to 2e-7, the weights of one draw to 2e-3."""
    t, var, mean, own, likelihood, g2 = gaps(
        name, "drop_sigma2t_iw", lsgm(name, "reweighted", "vpsde" if name == "sub_vpsde" else None)
    )
    assert t < 3e-7
    assert max(var, mean, g2) < 2e-5
    assert max(own, likelihood) < 2e-3


def test_lsgm_unweighted_ve():
    t, var, mean, own, likelihood, g2 = gaps("vesde", "drop_all_iw", lsgm("vesde", "unweighted"))
    assert t < 3e-7
    assert max(var, mean, g2) < 2e-5
    assert max(own, likelihood) < 2e-3


@pytest.mark.parametrize("name", ["vpsde", "sub_vpsde"])
def test_lsgm_unweighted_has_a_wrong_normaliser(name):
    """The official constant lost a factor beta_0 in an exponent: every weight is 1.00226 too large.

    The times are right; the right normaliser, ``int (1 - v)``, is ours.
    """
    start, low, high = LSGM_TIME_EPS[name], 0.1, 20.0
    ratio = low / (high - low)
    wrong = np.exp(0.5 * ratio * (1 - low))
    assert wrong == pytest.approx(1.002263865214572, rel=1e-12)
    got = lsgm(name, "unweighted", "vpsde")
    t, var, mean, own, likelihood, g2 = gaps(name, "drop_all_iw", got)
    assert t < 3e-7
    assert max(var, mean, g2) < 2e-5
    assert max(own, likelihood) > 2e-3  # theirs as they stand
    got[:, 3:5] *= wrong
    _, _, _, own, likelihood, _ = gaps(name, "drop_all_iw", got)
    assert max(own, likelihood) < 2e-3
    official = load("lsgm_iw")[f"{name}__drop_all_iw"][1:-1]
    vp_var = LSGM["vpsde"].kernel(official[:, 0]).cov[:, 0, 0]
    normaliser = float((official[:, 3] * (1 - vp_var)).mean())
    assert normaliser == pytest.approx(0.2666058988125185, rel=1e-9)
    exact = TimeSampler(LSGM["vpsde"], "unweighted", start).total
    assert exact == pytest.approx(0.26600370228397047, rel=1e-7)
    assert normaliser / exact == pytest.approx(wrong, rel=1e-7)


@pytest.mark.parametrize("mode", ["ll_uniform", "drop_all_uniform", "drop_sigma2t_uniform"])
@pytest.mark.parametrize("name", ["geometric", "vpsde", "sub_vpsde", "vesde"])
def test_lsgm_uniform_modes_leave_out_the_length(name, mode):
    """They weigh by w(t) alone, not by w(t) (1 - time_eps): 1 % too little at 0.01."""
    weighting = {"ll": "likelihood", "drop_all": "unweighted", "drop_sigma2t": "reweighted"}[
        mode.removesuffix("_uniform")
    ]
    sde, start = LSGM[name], LSGM_TIME_EPS[name]
    draws = TimeSampler(sde, weighting, start, uniform=1.0)
    golden = load("lsgm_iw")
    want = golden[f"{name}__{mode}"][1:-1]
    t, density = draws.draw(golden["rho"][1:-1])
    weight = weight_matrix(sde, t, sde.kernel(t), weighting)[:, 0, 0] / 2 / density
    assert torch.allclose(t, want[:, 0], rtol=1e-12)
    assert torch.allclose(weight / (1 - start), want[:, 3], rtol=1e-9)
