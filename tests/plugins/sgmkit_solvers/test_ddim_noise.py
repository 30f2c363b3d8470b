"""DDIM with noise: the posterior step by two ways, and the variance on VP."""

import math

import numpy as np
import pytest
import torch
from support.golden_solvers_data import SDES, affine, close, numbers, times
from support.processes import f64

from sgmkit import ClockedSDE, Reverse, SeededNoise
from sgmkit_sdes.vp import VP
from sgmkit_solvers.ancestral import Ancestral
from sgmkit_solvers.ddim import DDIM

SPLIT = [n for n, sde in SDES.items() if isinstance(sde, ClockedSDE) and sde.phases > 1]


def linear(sde):
    random = np.random.default_rng(3)
    gain = 0.3 * random.standard_normal((sde.driven, sde.phases))
    return torch.from_numpy(gain), torch.from_numpy(random.standard_normal((sde.driven, 1)))


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

    class OneDraw(SeededNoise):
        def __call__(self, like):
            return z

    rev = Reverse(VP(), lambda u, t: eps, OneDraw(0, range(3)))
    out = DDIM(lam=lam).solve(rev, u, torch.stack([t, s]))
    x = (u - (1 - bar_t) ** 0.5 * eps) / bar_t**0.5
    want = bar_s**0.5 * x + (1 - bar_s - spread) ** 0.5 * eps + spread**0.5 * z
    assert close(out, want, 1e-11)
    if lam == 1:  # DDPM's posterior variance
        posterior = (1 - bar_s) / (1 - bar_t) * (1 - bar_t / bar_s)
        assert spread == pytest.approx(posterior, rel=1e-12)
