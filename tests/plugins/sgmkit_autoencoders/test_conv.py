"""The small convolutional autoencoder: sizes, padding, precision, refusals.

The conformance suite holds what every autoencoder must do.
"""

import pytest
import torch

import sgmkit
from sgmkit.errors import BadValue
from sgmkit.noise import seeded
from sgmkit_autoencoders.conv import Conv, Enlarge, Residual


def draw(*shape, dtype=torch.float64, seed=0):
    return sgmkit.SeededNoise(seed, range(shape[0]))(torch.empty(shape, dtype=dtype))


def build(*args, dtype=torch.float64, **options):
    with seeded(0, "test"):
        net = Conv(*args, **options).to(dtype)
    with torch.no_grad():
        for value in net.parameters():
            value += 0.05 * draw(*value.shape, dtype=dtype)
    return net.eval()


@pytest.mark.parametrize(
    ("shape", "widths", "grid"),
    [
        ((1, 28, 28), (32, 64), (7, 7)),
        ((3, 32, 32), (16, 16, 16), (4, 4)),
        ((1, 7, 9), (8, 16), (2, 3)),
        ((2, 5, 4), (8,), (3, 2)),
    ],
)
def test_images_of_any_size(shape, widths, grid):
    out_shape = (4, *shape[1:])
    net = build(shape, out_shape, widths=widths)
    assert net.scales == ((8, *grid),)
    (latents,) = net.encode(draw(2, *shape), sgmkit.SeededNoise(0, range(2)))
    assert latents.z.shape == (2, *net.scales[0])
    assert net.decode([latents.z]).shape == (2, *out_shape)


@pytest.mark.parametrize(
    ("side", "widths", "grid"),
    [(8, [64], 4), (9, [64], 5), (28, [16, 64], 7), (32, [16, 64], 8), (64, [16, 16, 64], 8)],
)
def test_the_usual_widths_end_at_sides_of_eight(side, widths, grid):
    net = Conv((1, side, side), (1, side, side))
    halved = [layer.out_channels for layer in net.encoder if isinstance(layer, torch.nn.Conv2d)]
    assert (halved, net.scales) == (widths, ((8, grid, grid),))


def test_padding_is_background_at_the_far_end():
    odd, even = (build(shape, shape, widths=(8, 16)) for shape in ((1, 7, 9), (1, 8, 12)))
    even.load_state_dict(odd.state_dict())
    x = draw(2, 1, 7, 9)
    wide = torch.full((2, 1, 8, 12), -1.0, dtype=x.dtype)
    wide[..., :7, :9] = x
    (one,), (two,) = (
        net.encode(data, sgmkit.SeededNoise(0, range(2))) for net, data in ((odd, x), (even, wide))
    )
    assert torch.equal(one.z, two.z)
    assert torch.equal(odd.decode([one.z]), even.decode([one.z])[..., :7, :9])


def test_enlarging_puts_four_channels_in_a_square():
    layer = Enlarge(3, 2).double()
    x = draw(2, 3, 4, 5)
    out, inner = layer(x), layer.conv(x)
    assert out.shape == (2, 2, 8, 10)
    for i in range(2):
        for j in range(2):
            assert torch.equal(out[:, :, i::2, j::2], inner[:, 2 * i + j :: 4])


def test_fresh_residual_branches_are_silent():
    x = draw(2, 8, 5, 3)
    assert torch.equal(Residual(8, 4).double()(x), x)


def test_latents_of_half_precision_are_drawn_in_single():
    net = build((1, 8, 8), (1, 8, 8), dtype=torch.bfloat16)
    x = draw(2, 1, 8, 8, dtype=torch.bfloat16)
    (latents,) = net.encode(x, sgmkit.SeededNoise(0, range(2)))
    assert {latents.z.dtype, latents.mean.dtype, latents.std.dtype} == {torch.float32}
    assert net.decode([latents.z]).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        ([(2,), (2,)], {}, "in_shape must be (channels, height, width), not (2,)"),
        ([(1, 8, 8), (8, 8)], {}, "out_shape must be (channels, height, width), not (8, 8)"),
        (
            [(1, 8, 8), (1, 8, 9)],
            {},
            "in_shape (1, 8, 8) and out_shape (1, 8, 9) differ in height or width",
        ),
        (
            [(1, 8, 3)] * 2,
            {"widths": (32, 64)},
            "2 widths halve images to nothing: (8, 3) is too small; give fewer widths",
        ),
        ([], {"widths": (32, 60)}, "widths (32, 60) must be multiples of groups = 8"),
        ([], {"widths": ()}, "widths () must be multiples of groups = 8"),
    ],
)
def test_refusals_of_the_small_one(shapes, options, message):
    first, second = shapes or [(1, 8, 8)] * 2
    with pytest.raises(BadValue) as caught:
        sgmkit.create("autoencoder", "conv", in_shape=first, out_shape=second, **options)
    assert str(caught.value) == f"autoencoder 'conv': {message}"
