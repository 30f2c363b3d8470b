"""UniPC: the predictor, the answer and the corrector of each step, written out."""

import numpy as np
import pytest
import torch
from support.vp_by_hand import combination, impulse_response, vp

from sgmkit_solvers.unipc import UniPC


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("variant", ["bh1", "bh2"])
@pytest.mark.parametrize("form", ["data", "noise"])
def test_unipc_bookkeeping(form, variant, lower):
    """Predictor, answer, corrector from the step's start, and the answer serves the next step."""
    steps, order = 12, 3
    grid = torch.linspace(1.0, 0.2, steps + 1, dtype=torch.float64)
    got, call_times = impulse_response(UniPC(order, variant, form, lower), form, grid)
    t = grid.tolist()
    assert call_times == t[:-1]

    def move(state, i, places):
        keep, parts = combination(
            form, "logsnr", t[i], t[i + 1], [t[p] for p in places], variant == "bh2"
        )
        if len(places) == 2:
            (alpha, sigma, b), (_, _, a) = vp(t[i + 1]), vp(t[i])
            whole = sum(parts)
            if variant == "bh1":  # B(h) = h
                theta = (vp(t[places[0]])[2] - a) / (b - a), (vp(t[places[1]])[2] - a) / (b - a)
                slope = (alpha if form == "data" else -sigma) * (b - a) / 2
                other = 1 if theta[1] else 0
                part = slope / theta[other]
                parts = [whole - part, part] if other == 1 else [part, whole - part]
        else:
            _, parts = combination(form, "logsnr", t[i], t[i + 1], [t[p] for p in places])
        out = keep * state
        for place, part in zip(places, parts, strict=True):
            out[place] += part
        return out

    u, point = np.zeros_like(got), np.zeros_like(got)
    counts = [min(order, i + 1, steps - i if lower else order) for i in range(steps)]
    for i, count in enumerate(counts):
        if i:
            u = move(u, i - 1, [i - j for j in range(counts[i - 1] + 1)])
        point = move(u, i, [i - j for j in range(count)])
    np.testing.assert_allclose(got, point, rtol=1e-9, atol=1e-11)
