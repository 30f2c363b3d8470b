"""The blocks of networks: weights, conditioning, residual blocks, attention, resampling.

Every block keeps the memory format of its input, so that a network moved to ``channels_last`` stays
there. Initial weights have variance 1 / fan-in, which keeps the variance of a signal; biases are
zero. The last layer of every residual branch is zero: a fresh network is effectively shallow, and
deepens as it learns (Ho, Jain and Abbeel 2020; Dhariwal and Nichol 2021).
"""

import math
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgmkit import BadValue, Incompatible

SLOWEST, FASTEST = 0.5, 32.0
"""Frequencies of the slowest and the fastest wave, in radians per unit of time.

Half a period of the slowest wave is longer than EDM's range of ``c_noise``, so that it takes
another value at each time. The fastest is slow on purpose: solvers extrapolate the network's output
in time. For an MLP trained on eight Gaussians under VP, a fastest frequency of 500 gives no smaller
squared error (0.0034; 0.0030 with 32), and a second derivative in time 20 times as large (rms 759;
34 with 32; 17 for the exact noise).
"""


def linear(inputs: int, outputs: int, zero: bool = False) -> nn.Linear:
    """A linear map, ``(..., inputs)`` to ``(..., outputs)``.

    Its weights start at zero if ``zero``.
    """
    layer = nn.Linear(inputs, outputs)
    _start(layer.weight, layer.bias, zero)
    return layer


def conv(
    inputs: int, outputs: int, size: int = 3, stride: int = 1, zero: bool = False
) -> nn.Conv2d:
    """A convolution that keeps height and width; at stride 2 it halves them, rounding up.

    Its weights start at zero if ``zero``.
    """
    layer = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2)
    assert layer.bias is not None
    _start(layer.weight, layer.bias, zero)
    return layer


def _start(weight: Tensor, bias: Tensor, zero: bool) -> None:
    """Set initial values in place: uniform of variance 1 / fan-in, from the global generator."""
    bound = 0.0 if zero else math.sqrt(3 / weight[0].numel())
    nn.init.uniform_(weight, -bound, bound)
    nn.init.zeros_(bias)


def waves(c: Tensor, width: int) -> Tensor:
    """Cosines and sines of the time, ``(B, width)``, at geometrically spaced frequencies.

    As in Vaswani et al. (2017), with frequencies for times of order one: [0, 1] and EDM's
    ``c_noise``. Computed in float32 or better: half precision cannot hold the fastest phases.

    Args:
        c: times, ``(B,)``.
        width: even.
    """
    c = c.to(torch.promote_types(c.dtype, torch.float32))
    exponent = torch.linspace(0, 1, width // 2, dtype=c.dtype, device=c.device)
    phase = c[:, None] * (SLOWEST * (FASTEST / SLOWEST) ** exponent)
    return torch.cat([phase.cos(), phase.sin()], 1)


class Conditioning(nn.Module):
    """The time and a label as one vector, which conditions every block of a network.

    Args:
        features: number of waves of the time, even.
        width: length of the vector.
        classes: number of labels; 0 for none.
    """

    def __init__(self, features: int, width: int, classes: int = 0) -> None:
        super().__init__()
        self.features = features
        self.time = nn.Sequential(linear(features, width), nn.SiLU(), linear(width, width))
        self.label = nn.Embedding(classes, width) if classes else None

    def forward(self, c: Tensor, y: Tensor | None, dtype: torch.dtype) -> Tensor:
        """The vectors, ``(B, width)``.

        Args:
            c: times, ``(B,)``.
            y: labels ``(B,)``; None adds nothing.
            dtype: of the result.
        """
        vector = self.time(waves(c, self.features).to(dtype))
        if y is not None:
            if self.label is None:
                raise Incompatible("the network has no classes: set classes, or leave labels out")
            vector = vector + self.label(y)
        return F.silu(vector)


class ResBlock(nn.Module):
    """Norm, SiLU and convolution, twice; the conditioning scales and shifts the second norm.

    Args:
        inputs: channels of the input, a multiple of ``groups``.
        outputs: channels of the output, a multiple of ``groups``.
        condition_width: length of the conditioning vector.
        groups: groups of the group norms.
        dropout: probability of dropout before the last convolution.
    """

    def __init__(
        self, inputs: int, outputs: int, condition_width: int, groups: int, dropout: float
    ) -> None:
        super().__init__()
        self.first_norm = nn.GroupNorm(groups, inputs)
        self.first = conv(inputs, outputs)
        self.add_module("told", linear(condition_width, 2 * outputs))
        self.last_norm = nn.GroupNorm(groups, outputs)
        self.dropout = nn.Dropout(dropout)
        self.last = conv(outputs, outputs, zero=True)
        self.across = nn.Identity() if inputs == outputs else conv(inputs, outputs, 1)

    @property
    def modulation(self) -> nn.Module:
        """The map from the conditioning to scale and shift; checkpoints have it under "told"."""
        return self._modules["told"]  # type: ignore[return-value]

    def forward(self, x: Tensor, conditioning: Tensor) -> Tensor:
        """``(B, outputs, H, W)``, from ``x (B, inputs, H, W)`` and the conditioning."""
        h = self.first(F.silu(self.first_norm(x)))
        scale, shift = self.modulation(conditioning)[:, :, None, None].chunk(2, 1)
        h = torch.addcmul(shift, self.last_norm(h), 1 + scale)
        return self.across(x) + self.last(self.dropout(F.silu(h)))


class Attention(nn.Module):
    """Self-attention over the pixels of an image (Vaswani et al. 2017), as a residual branch.

    Args:
        channels: of input and output, a multiple of ``groups`` and of ``heads``.
        heads: number of heads, each of which has its own share of the channels.
        groups: groups of the group norm.
    """

    def __init__(self, channels: int, heads: int, groups: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(groups, channels)
        self.ask = linear(channels, 3 * channels)
        self.answer = linear(channels, channels, zero=True)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)``, from ``x (B, C, H, W)``."""
        pixels = self.norm(x).flatten(2).mT  # (B, H W, C): a view where x is channels_last
        split = self.ask(pixels).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = split.unbind(0)  # (B, heads, H W, C / heads) each
        mixed = F.scaled_dot_product_attention(query, key, value)
        out = self.answer(mixed.transpose(1, 2).flatten(2))
        return x + out.mT.unflatten(2, x.shape[2:])


class Upsample(nn.Module):
    """Doubles height and width by repetition, crops to a size of the way down, and convolves.

    A convolution of stride 2 rounds sizes up, 7 to 4, and centres its outputs on every other pixel:
    4 doubled to 8 and cropped to 7 is therefore aligned with the 7 pixels that it came from.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = conv(inputs, outputs)

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        """``(B, outputs, *size)``, from ``x (B, inputs, ceil(H / 2), ceil(W / 2))``."""
        wide = F.interpolate(x, scale_factor=2, mode="nearest")
        return self.conv(wide[..., : size[0], : size[1]])


def descend(
    h: Tensor, conditioning: Tensor, down: Iterable[nn.Module], middle: Iterable[nn.Module]
) -> tuple[Tensor, list[Tensor]]:
    """The way down and the middle of a U-Net.

    Args:
        h: input of the first step, ``(B, C, H, W)``.
        conditioning: second input of every step.
        down, middle: the steps.

    Returns:
        The output of the middle; and the skip connections: ``h`` and the output of each step down,
        in order, so that the way up takes them from the end of the list.
    """
    skips = [h]
    for step in down:
        h = step(h, conditioning)
        skips.append(h)
    for step in middle:
        h = step(h, conditioning)
    return h, skips


def image_sizes(
    in_shape: tuple[int, ...], out_shape: tuple[int, ...], multipliers: Sequence[int]
) -> list[tuple[int, int]]:
    """Heights and widths on the way down, one pair for each multiplier, each half the last.

    Raises:
        BadValue: for shapes that are no images or differ in size, or too many multipliers.
    """
    for name, shape in (("in_shape", in_shape), ("out_shape", out_shape)):
        if len(shape) != 3:
            raise BadValue(f"{name} must be (channels, height, width), not {shape}: try mlp")
    if in_shape[1:] != out_shape[1:]:
        raise BadValue(f"in_shape {in_shape} and out_shape {out_shape} differ in height or width")
    if not multipliers or min(multipliers) < 1:
        raise BadValue(f"multipliers must be positive, one or more, not {tuple(multipliers)}")
    sizes = [(in_shape[1], in_shape[2])]
    while min(sizes[-1]) > 1:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    if len(sizes) < len(multipliers):
        listed = ", ".join(f"{height} x {width}" for height, width in sizes)
        count = len(multipliers)
        raise BadValue(
            f"{count} multipliers need as many sizes, but there are {len(sizes)}: {listed}"
        )
    return sizes[: len(multipliers)]
