"""Ancestral sampling and reverse diffusion: their steps in matrices written out by hand."""

import pytest
import torch
from support.golden_solvers_data import SDES, affine, close, times

from sgmkit import ClockedSDE
from sgmkit_solvers.ancestral import Ancestral, ReverseDiffusion

SPLIT = [n for n, sde in SDES.items() if isinstance(sde, ClockedSDE) and sde.phases > 1]


def normal_noise(sde, t):
    """The whole score of N(0, c) data as a matrix on u, and the driven noise it implies."""
    kernel, c = sde.kernel(t), sde.data_var()
    score = -torch.linalg.inv(kernel.cov + c * kernel.mean[:, None] * kernel.mean)
    r = sde.driven
    return score, -kernel.chol[-r:, -r:].mT @ score[-r:]


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
        solved_cov = got[2] @ got[2].T if draws else 0 * cov
        assert close(solved_cov, spread, 1e-7)
