"""The mean level of a discretised logistic against a sum over all edges."""

import pytest
import torch
from support.processes import f64

from sgmkit_lsgm.logistic import expectation


@pytest.mark.parametrize("levels", [2, 16, 17, 19, 256])
def test_expectations_at_every_place_and_rate(levels):
    """Against all edges one by one; beyond the ends and at scales of 1e-2 to 1e4 levels as well."""
    place, depth = torch.meshgrid(
        torch.linspace(-0.8, 0.8, 301, dtype=torch.float64) * levels,
        torch.linspace(-9, 5, 57, dtype=torch.float64),
        indexing="ij",
    )
    edges = torch.arange(levels - 1, dtype=torch.float64) - (levels - 2) / 2
    want = (depth.exp()[..., None] * (place[..., None] - edges) / 2).tanh().sum(-1) / 2
    torch.testing.assert_close(expectation(place, depth, levels), want, rtol=0, atol=1e-10)
    single = expectation(place.float(), depth.float(), levels)
    assert float((single - want).abs().max()) < 2e-6 * levels


def test_expectations_have_their_own_slopes():
    args = f64([-13.0, -12.2, -0.3, 3.1, 14.0]), f64([0.5, -1.0, -1.0, 2.0, -3.0])
    args = tuple(part.requires_grad_() for part in args)
    assert torch.autograd.gradcheck(lambda mean, rate: expectation(mean, rate, 24), args)
