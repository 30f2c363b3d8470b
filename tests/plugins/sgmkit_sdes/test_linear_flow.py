"""The linear flow against its conditional velocity."""

import numpy as np
import pytest
import torch
from support.golden_solvers_data import MIXTURE
from support.processes import f64

from sgmkit import Reverse
from sgmkit.convergence.probes import SilentNoise
from sgmkit_exact.exact import Exact
from sgmkit_sdes.linear_flow import LinearFlow


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
