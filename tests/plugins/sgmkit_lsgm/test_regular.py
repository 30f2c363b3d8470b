"""The penalty against singular value decompositions."""

import pytest
import torch

from sgmkit_lsgm.regular import Regulariser


def test_the_regulariser_is_spectral_norms_and_gains():
    """Against singular value decompositions, after enough iterations."""
    part = torch.nn.Sequential(
        torch.nn.Conv2d(3, 5, 3),
        torch.nn.GroupNorm(1, 5),
        torch.nn.Conv2d(3, 5, 3),
        torch.nn.Conv2d(5, 2, 1),
    ).double()
    with torch.no_grad():
        part[1].weight.copy_(torch.tensor([0.1, -2.0, 0.3, 0.4, 1.5]))
    regulariser = Regulariser(part, 0.5).double().train()
    for _ in range(200):
        value = regulariser()
    norms = [torch.linalg.matrix_norm(part[i].weight.flatten(1), 2) for i in (0, 2, 3)]
    assert value.item() == pytest.approx(0.5 * (sum(n.item() for n in norms) + 2.0), rel=1e-8)
    value.backward()
    u, _, v = torch.linalg.svd(part[3].weight.detach().flatten(1))
    slope = 0.5 * torch.outer(u[:, 0], v[0])
    assert torch.allclose(part[3].weight.grad.flatten(1), slope, atol=1e-6)
    assert torch.equal(part[1].weight.grad, torch.tensor([0, -0.5, 0, 0, 0]).double())
    before = regulariser.state_dict()["u0"].clone()
    regulariser.eval()()
    assert torch.equal(regulariser.state_dict()["u0"], before)
