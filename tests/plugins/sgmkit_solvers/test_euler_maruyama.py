"""Euler-Maruyama: its step in matrices."""

import numpy as np
import pytest
import torch
from support.golden_solvers_data import SDES, affine, close, times

from sgmkit import ClockedSDE
from sgmkit_solvers.euler_maruyama import Euler

CLOCKED = {name: sde for name, sde in SDES.items() if isinstance(sde, ClockedSDE)}


def linear_noise(sde):
    random = np.random.default_rng(3)
    return random.standard_normal((sde.driven, sde.phases)), random.standard_normal(sde.driven)


@pytest.mark.parametrize("name", SDES)
def test_euler_step(name):
    sde = SDES[name]
    r, (t, s) = sde.driven, times(sde, 0.7, 0.4)
    gain, offset = map(torch.from_numpy, linear_noise(sde))
    ends = torch.stack([t, s])
    matrix, shift, root = affine(Euler(), sde, lambda u, t: gain @ u + offset[:, None], ends, [r])
    d, low = sde.diffusion(t), sde.kernel(t).chol[-r:, -r:]
    score = -d[:, -r:] @ torch.linalg.inv(low.mT)
    unit = torch.eye(sde.phases, dtype=torch.float64)
    assert close(matrix, unit + (t - s) * (score @ gain - sde.drift(t)), 1e-12)
    assert close(shift, (t - s) * score @ offset, 1e-12)
    assert close(root @ root.T, d * (t - s), 1e-12)
