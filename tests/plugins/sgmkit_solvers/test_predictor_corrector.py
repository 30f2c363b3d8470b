"""Langevin corrections, in matrices and norms written out by hand."""

import numpy as np
import pytest
import torch
from support.golden_solvers_data import SDES, affine, close, numbers, times
from support.processes import f64

from sgmkit import ClockedSDE, Reverse, SeededNoise
from sgmkit_sdes.vp import VP
from sgmkit_solvers.ancestral import ReverseDiffusion
from sgmkit_solvers.euler_and_midpoint import EulerFlow
from sgmkit_solvers.predictor_corrector import PredictorCorrector

SPLIT = [n for n, sde in SDES.items() if isinstance(sde, ClockedSDE) and sde.phases > 1]


def linear(sde):
    random = np.random.default_rng(3)
    gain = 0.3 * random.standard_normal((sde.driven, sde.phases))
    return torch.from_numpy(gain), torch.from_numpy(random.standard_normal((sde.driven, 1)))


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

    class OneDraw(SeededNoise):
        def __call__(self, like):
            return z

    solver = PredictorCorrector(EulerFlow(), "langevin", 0.3, 1, norms)
    rev = Reverse(sde, lambda u, t: torch.sin(u), OneDraw(0, range(3)))
    got = solver.solve(rev, u, ends)
    assert close(got, want + (ends[1] - ends[0]) * rev.velocity(want, ends[0]), 1e-11)
    assert solver.coupled == (norms == "batch")
