"""The reduced splittings: their steps in matrices written out by hand."""

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from support.golden_solvers_data import SDES, affine, times

from sgmkit import ClockedSDE
from sgmkit_solvers.phase_splitting import BAO, OBA

SPLIT = [n for n, sde in SDES.items() if isinstance(sde, ClockedSDE) and sde.phases > 1]


def linear(sde):
    random = np.random.default_rng(3)
    gain = 0.3 * random.standard_normal((sde.driven, sde.phases))
    return torch.from_numpy(gain), torch.from_numpy(random.standard_normal((sde.driven, 1)))


@pytest.mark.parametrize("score_time", ["end", "start"])
@pytest.mark.parametrize("name", SPLIT)
def test_reduced_splitting(name, score_time):
    """O by a matrix exponential, then an Euler sweep that uses each phase once it has moved."""
    sde, k, r = SDES[name], SDES[name].phases, SDES[name].driven
    gain, offset = linear(sde)
    ends = times(sde, 0.7, 0.55)
    a, b, p = (np.array(m) for m in (sde.drift_matrix, sde.noise_matrix, sde.precision))
    h = float(sde.clock(ends[0]) - sde.clock(ends[1]))
    friction = np.zeros((k, k))
    friction[-r:, -r:] = b[-r:, -r:] @ p[-r:, -r:] / 2
    block = expm(np.block([[friction, b], [np.zeros((k, k)), -friction.T]]) * h)
    keep = block[k:, k:].T
    spread = keep @ block[:k, k:]
    now = ends[1] if score_time == "end" else ends[0]
    low = sde.kernel(now).chol[-r:, -r:].numpy()

    def sweep(u):
        eps = gain.numpy() @ u + offset[:, 0].numpy()
        pushed = b[:, -r:] @ -np.linalg.solve(low.T, eps)
        u = u.copy()
        for i in range(k - 1, -1, -1):
            u[i] += h * ((friction - a)[i] @ u + pushed[i])
        return u

    zero = sweep(np.zeros(k))
    matrix = np.stack([sweep(e) - zero for e in np.eye(k)], 1)
    for solver, want in (
        (OBA(score_time), (matrix @ keep, zero, matrix @ spread @ matrix.T)),
        (BAO(score_time), (keep @ matrix, keep @ zero, spread)),
    ):
        got = affine(solver, sde, lambda u, t: gain @ u + offset, ends, [r])
        got = got[0], got[1], got[2] @ got[2].T
        for one, other in zip(got, want, strict=True):
            np.testing.assert_allclose(one.numpy(), other, rtol=1e-9, atol=1e-10)
