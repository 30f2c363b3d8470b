"""The cosine schedule against the formula of the paper."""

import mpmath as mp
import numpy as np
import pytest
import torch
from support.processes import f64

from sgmkit_sdes.cosine import Cosine


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("s", [0.008, 0.03])
def test_cosine_schedule(s, dtype):
    """Nichol & Dhariwal's alpha_bar in many digits, of the data and of what it lacks to one."""
    sde, eps = Cosine(s), torch.finfo(dtype).eps
    for t in (1e-6, 1e-3, 0.3, 0.8, 0.999):
        now = torch.tensor(t, dtype=dtype)
        with mp.workdps(50):
            angles = [(mp.mpf(float(x)) + s) / (1 + mp.mpf(s)) * mp.pi / 2 for x in (now, 0.0)]
            kept = (mp.cos(angles[0]) / mp.cos(angles[1])) ** 2
            mean, var = float(mp.sqrt(kept)), float(1 - kept)
        kernel = sde.kernel(now)
        assert float(kernel.mean) == pytest.approx(mean, rel=16 * eps / mean)
        assert float(kernel.cov) == pytest.approx(var, rel=16 * eps)


def test_cosine_ends_before_the_step_that_the_paper_clips():
    """Its 1,000 values of beta, from the paper's formula: one exceeds 0.999, the last."""
    angle = (np.arange(1001) / 1000 + 0.008) / 1.008 * np.pi / 2
    kept = np.cos(angle) ** 2
    beta = 1 - kept[1:] / kept[:-1]
    assert (beta > 0.999).nonzero()[0].tolist() == [999]
    end = Cosine().kernel(f64(Cosine.horizon))
    assert float(end.mean) ** 2 == pytest.approx(kept[999] / kept[0], rel=1e-9)
    assert 2e-6 < float(end.snr) < 3e-6
