"""The residual MLP against its formulas, its refusals, and what it learns."""

import pytest
import torch
from support.networks import affine, build, draw, learn

import sgmkit
from sgmkit.errors import BadValue
from sgmkit.noise import seeded
from sgmkit_networks.mlp import MLP


def test_the_mlp_layer_by_layer():
    net = build(MLP, (3,), (2,), width=6, depth=2)
    z, c = draw(4, 3), draw(4, seed=1)
    h, conditioning = affine(z, net.enter), net.conditioning(c, None, z.dtype)
    for block in net.blocks:
        both = affine(conditioning, block.modulation)
        inner = affine(h * torch.sigmoid(h), block.first) * (1 + both[:, :6]) + both[:, 6:]
        h = h + affine(inner * torch.sigmoid(inner), block.last)
    out = affine(h * torch.sigmoid(h), net.leave)
    torch.testing.assert_close(net(z, c), out, rtol=1e-10, atol=1e-10)


def test_the_mlp_learns_the_noise_of_normal_data():
    """E[eps | z] = s z: what is left above it is small, and far smaller than what z tells."""
    with seeded(0, "learn"):
        net = MLP((2,), (2,), width=64, depth=2)
    losses = learn(net, lambda noise: noise.stream("data")(torch.empty(64, 2)), 400, 1e-3)
    least = 1 - (0.95**3 - 0.05**3) / 2.7  # the mean of 1 - s^2
    assert sum(losses[-100:]) / 100 == pytest.approx(least, abs=0.02)
    z, s = draw(2000, 2, dtype=torch.float32, seed=9), torch.linspace(0.05, 0.95, 2000)
    with torch.no_grad():
        excess = (net(z, s) - s[:, None] * z).square().mean()
    assert float(excess) < 0.01


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        (
            [(1, 8, 8)] * 2,
            {},
            "in_shape must be (numbers,), not (1, 8, 8): try unet for images",
        ),
        (
            [(4,), (1, 2)],
            {},
            "out_shape must be (numbers,), not (1, 2): try unet for images",
        ),
        (
            [(2,)] * 2,
            {"width": 33},
            "width = 33 is odd: cosines and sines of the time come in pairs",
        ),
    ],
)
def test_refusals(shapes, options, message):
    first, second = shapes
    with pytest.raises(BadValue) as caught:
        sgmkit.create("network", "mlp", in_shape=first, out_shape=second, **options)
    assert str(caught.value) == f"network 'mlp': {message}"
