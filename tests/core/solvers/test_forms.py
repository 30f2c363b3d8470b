"""Forms of the reverse process: each splits the same drift and noise."""

import numpy as np
import pytest
import torch
from support.processes import EVERY, f64

from sgmkit.errors import BadValue
from sgmkit.processes import flow_factor
from sgmkit.solvers import FORMS, covariance_factor
from sgmkit_sdes.hold import HOLD
from sgmkit_sdes.psld import PSLD
from sgmkit_sdes.vp import VP

SDES = {name: EVERY[name] for name in ("vp", "ve", "subvp", "cld", "cld-sloped", "third")}


SDES |= {"pair": EVERY["pair"], "psld": PSLD(), "hold": HOLD()}


CASES = [(n, form) for n in SDES for form in FORMS]


CASES = [(n, f) for n, f in CASES if n not in ("cld-sloped", "pair")]
CASES.remove(("subvp", "equilibrium"))


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


@pytest.mark.parametrize("name", SDES)
def test_every_form_splits_the_same_drift(name):
    """``A u + g q`` is ``F u + (1 + eta)/2 D L_dd^{-T} eps`` for noise that fits some data."""
    sde, t = SDES[name], f64([0.05, 0.3, 0.8]) * SDES[name].horizon
    k, r, random = sde.phases, sde.driven, np.random.default_rng(0)
    for i, now in enumerate(t):
        kernel = sde.kernel(now)
        u, x = random.standard_normal(k), random.standard_normal()
        low = kernel.chol.numpy()
        eps = np.linalg.solve(low, u - kernel.mean.numpy() * x)[-r:]
        drift, noise = sde.drift(now).numpy(), sde.diffusion(now).numpy()
        push = noise[:, -r:] @ np.linalg.inv(low[-r:, -r:]).T @ eps
        for form in FORMS:
            if (name, form) not in CASES:
                continue
            eta = 0.0 if form == "plain" else 0.4
            first, second = FORMS[form](sde, eta).answer(t)
            q = first[i].numpy() @ u + second[i].numpy() @ eps
            factor = flow_factor(sde, now).numpy()
            precision = np.array(sde.precision) if len(sde.precision) else 0 * drift
            mean = kernel.mean.numpy()[:, None]
            a, g = split(form, drift, noise, low, mean, factor, precision, r, eta)
            want = drift @ u + (1 + eta) / 2 * push
            size = np.abs(noise).max() * np.abs(np.linalg.inv(low)).max()
            assert np.abs(a @ u + g @ q - want).max() < 1e-8 * (1 + size), form
            rate = FORMS[form](sde, eta).rate(t)[i].numpy()
            assert np.abs(rate - g).max() < 1e-8 * (1 + size), form


def test_the_plain_form_is_of_the_flow():
    with pytest.raises(BadValue, match=r"of the probability flow: eta = 0, not 0\.5$"):
        FORMS["plain"](VP(), 0.5)


def test_root_of_a_covariance():
    cov = f64([[[4.0, 2e-9], [2e-9, 2e-18]], [[1.0, 0.0], [0.0, 0.0]]])
    factor = covariance_factor(cov)
    assert torch.allclose(factor @ factor.mT, cov, rtol=1e-12, atol=0)
    assert torch.equal(covariance_factor(f64([[[9.0]]])), f64([[[3.0]]]))
