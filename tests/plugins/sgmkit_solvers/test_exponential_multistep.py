"""Exponential multistep methods: which answers meet which weights."""

import numpy as np
import pytest
import torch
from support.vp_by_hand import combination, impulse_response

from sgmkit_solvers.exponential_multistep import DEIS, DPM, DPMPP, Exponential

LOG = ("data", "logsnr")


MULTI = {  # form, variable, answers, halved slope, halved curvature, lower orders at the end
    DEIS(max_order=4): ("noise", "t", 4, (), False),
    DEIS(max_order=2, variable="sigma"): ("noise", "sigma", 2, (), False),
    Exponential(form="data", max_order=3): (*LOG, 3, (), False),
    DPMPP(): (*LOG, 2, (), True),
    DPMPP(max_order=3): (*LOG, 3, (), True),
    DPMPP(max_order=3, weights="published"): (*LOG, 3, (2, 3), True),
    DPM(max_order=2, weights="published"): ("noise", "logsnr", 2, (2,), True),
    DPM(max_order=2, lower_final=False): ("noise", "logsnr", 2, (), False),
}


@pytest.mark.parametrize("steps", [1, 2, 5, 12])
@pytest.mark.parametrize("solver", MULTI, ids=str)
def test_answers_meet_their_weights(solver, steps):
    """Each answer its own weight, of the time of its call: Lagrange and quadrature."""
    form, variable, order, halved, lowered = MULTI[solver]
    grid = (torch.linspace(1.0, 0.15, steps + 1, dtype=torch.float64)) ** 1.5
    got, call_times = impulse_response(solver, form, grid)
    t = grid.tolist()
    assert call_times == t[:-1]
    want = np.zeros_like(got)
    for i in range(steps):
        final = steps - i if lowered and steps < 10 else order
        count = min(order, i + 1, final)
        nodes = [t[i - j] for j in range(count)]
        keep, parts = combination(form, variable, t[i], t[i + 1], nodes, count in halved)
        want *= keep
        for j, part in enumerate(parts):
            want[i - j] += part
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-11)
    again, _ = impulse_response(solver, form, grid)  # nothing of the first solve is left
    np.testing.assert_array_equal(again, got)
