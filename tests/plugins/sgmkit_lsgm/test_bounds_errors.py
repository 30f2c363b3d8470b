"""Standard errors that come with bounds, against the spread of the values over many seeds.

Rows of one item: the mean over them of the square of the stated error is to be the variance of the
values, within four errors of that very comparison, none of which may exceed a fifth of it.
"""

import math

import pytest
import torch
from support.two_scales import CUT, UNIT, X, model_of
from torch import Tensor

from sgmkit import Likelihood, SeededNoise
from sgmkit_lsgm import bounds
from sgmkit_lsgm.normal import Normal

ROWS = 1500


class Turned(Normal):
    """With an error in its noise that turns latents into each other: a trace that needs probes."""

    size = 0.1

    def _eps(self, u, t):
        return super()._eps(u, t) + self.size * u[:, -self.sde.driven :].flip(2)


class Worse(Turned):
    """The last stratum is by far the noisiest then."""

    size = 0.4


class Alike(SeededNoise):
    """Rows differ in their uniform numbers only: in the probes of a trace."""

    def __call__(self, like: Tensor) -> Tensor:
        return super().__call__(like)[:1].expand_as(like)


def agrees(bound: Likelihood) -> None:
    count, stated = len(bound.nats), bound.stderr.square()
    spread = (bound.nats - bound.nats.mean()).square() * count / (count - 1)
    away = spread - stated
    error = 4 * float(away.std()) / math.sqrt(count)
    assert error < 0.2 * float(stated.mean())
    assert abs(float(away.mean())) < error


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("draws", [1, 3])
def test_errors_of_importance_weights(draws, seed):
    """From the probes alone: each draw's error counts as the draw does."""
    model = model_of(gains=(0.6, 0.8), prior=Turned)
    noise, options = Alike(seed, range(ROWS)), {"probes": 3, "rtol": 1e-2, "atol": 1e-2}
    agrees(model.bound(X.expand(ROWS, 2), noise, "iw-ode", draws, **options))


@pytest.mark.parametrize("probes", [2, 6])
def test_importance_weights_with_probes_are_those_without(probes):
    """The mean of noisy weights has too large a logarithm: by 0.12 nats with two probes."""
    model, options = model_of(gains=(0.6, 0.8), prior=Turned), {"rtol": 1e-2, "atol": 1e-2}
    exact, bound = (
        model.bound(X.expand(ROWS, 2), Alike(1, range(ROWS)), "iw-ode", 3, probes=n, **options)
        for n in (0, probes)
    )
    away = float((bound.nats - exact.nats).mean())
    assert abs(away) < 3 * float(bound.nats.std()) / math.sqrt(ROWS)


@pytest.mark.parametrize("gain", [0.0, 0.4])
@pytest.mark.parametrize("kind", ["nelbo-diffusion", "nelbo-chain"])
@pytest.mark.parametrize("name", ["vp", "cld"])
def test_errors_of_means(name, kind, gain):
    model = model_of(name, UNIT, (gain, gain), Turned)
    noise, grid = SeededNoise(1, range(ROWS)), torch.linspace(1, CUT, 6, dtype=torch.float64)
    options = {"grid": grid} if kind == "nelbo-chain" else {}
    agrees(model.bound(X.expand(ROWS, 2), noise, kind, 4, **options))


@pytest.mark.parametrize("draws", [4, 5])
def test_errors_count_each_stratum_once(draws):
    """Neither too small nor much too large where the strata differ in means and in noise."""
    model = model_of("vp", UNIT, (0.0, 0.0), Worse)
    noise = SeededNoise(1, range(ROWS))
    bound = model.bound(X.expand(ROWS, 2), noise, "nelbo-diffusion", draws)
    assert 0.75 < float(bound.nats.var() / bound.stderr.square().mean()) < 1


def test_errors_hardly_see_what_strata_differ_in(monkeypatch):
    """A trend over the strata is the same for every seed; it would add 0.8 to the variance of 1."""
    real = bounds.diffusion_excess

    def tilted(rev, z, noise, times, stratum):
        return real(rev, z, noise, times, stratum) + 0.1 * stratum[0]

    monkeypatch.setattr(bounds, "diffusion_excess", tilted)
    noise = SeededNoise(1, range(ROWS))
    model = model_of(fine=UNIT, prior=Turned)
    agrees(model.bound(X.expand(ROWS, 2), noise, "nelbo-diffusion", 16))


def test_the_error_of_a_single_draw_is_not_known():
    noise = SeededNoise(1, range(3))
    bound = model_of().bound(X.expand(3, 2), noise, "nelbo-diffusion")
    assert bool(bound.stderr.isnan().all() & bound.nats.isfinite().all())
