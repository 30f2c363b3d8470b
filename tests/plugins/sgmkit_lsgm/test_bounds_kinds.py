"""Kinds of bounds, with and without a normalising flow."""

import pytest
import torch
from support.lsgm_losses import Bent, Encoder, draws, model_of

from sgmkit import BadValue


@pytest.mark.parametrize("encoder", [Encoder, Bent])
@torch.no_grad()
def test_kinds_of_bounds(encoder):
    """Behind a flow z_0 stands for u_e: no bound of that name."""
    model, (x, noise) = model_of("cld", encoder), draws()
    behind = "-z0" if encoder is Bent else ""
    grid = torch.linspace(1, model.t_min, 5, dtype=torch.float64)
    assert model.bound(x, noise, "nelbo-diffusion").kind == f"nelbo-diffusion{behind}"
    assert model.bound(x, noise, "nelbo-chain", grid=grid).kind == f"nelbo-chain{behind}"
    with pytest.raises(BadValue, match=r"the chain ends at t = 0.02, but the cut-off is 0.1"):
        model.bound(x, noise, "nelbo-chain", grid=grid, t_min=0.1)
