"""Autoregressive shifts: triangular Jacobians of determinant one."""

import math

import pytest
import torch
from support.nvae_parts import build, draw

from sgmkit.noise import seeded
from sgmkit_autoencoders.normalising_flow import Shift, normalising_flow


def jacobian(layer, z):
    """``(n, n)`` in the order of reading: rows, places in a row, channels of a place."""
    full = torch.autograd.functional.jacobian(layer, z[None])[0, :, :, :, 0]
    return full.permute(1, 2, 0, 4, 5, 3).reshape(z.numel(), z.numel())


@pytest.mark.parametrize("mirrored", [False, True])
def test_shifts_are_autoregressive(mirrored):
    """Triangular with ones on the diagonal, and no place that it could see is left out."""
    layer, (c, h, w) = build(Shift, 3, mirrored), (3, 5, 6)
    matrix = jacobian(layer, draw(c, h, w))
    matrix = matrix.flip(0, 1) if mirrored else matrix
    n = c * h * w
    assert torch.equal(matrix.diagonal(), torch.ones(n, dtype=matrix.dtype))
    assert not matrix.triu(1).any()
    assert float(torch.linalg.slogdet(matrix).logabsdet) == 0
    last = matrix[-1].reshape(h, w, c)[1:, 2:].flatten()[:-1]  # 3 x 3 after 5 x 5: four rows up
    assert bool((last != 0).all())


def test_pairs_of_flows_keep_volumes_and_let_all_see_all():
    layer = build(normalising_flow, 2, 2)
    matrix = jacobian(layer, draw(2, 3, 4))
    assert float(torch.linalg.slogdet(matrix).logabsdet) == pytest.approx(0, abs=1e-12)
    assert bool((matrix != 0).all())


def test_shifts_are_inverted_number_by_number():
    """The direction is from the draw to the latents; back takes a pass for every number."""
    layer, base = build(Shift, 2, False), draw(1, 2, 3, 4)
    z, back = layer(base), torch.zeros_like(base)
    for _ in range(base.numel()):
        back = z + (back - layer(back))
    torch.testing.assert_close(back, base, rtol=1e-12, atol=1e-12)


def test_fresh_shifts_are_a_tenth_of_convolutions():
    with seeded(0, "test"):
        layer = Shift(16, False)
    weights = layer.leave.parametrizations.weight.original.detach()
    spread = 1 / math.sqrt(3 * 96)  # of what torch starts with
    assert float(weights.std()) == pytest.approx(0.1 * spread, rel=0.05)
