"""What networks are assembled from: weights, conditioning, residual blocks, attention, resampling.

Every block keeps the memory format of its input, so that a network moved to ``channels_last``
stays there. Weights have variance 1 / fan-in, which keeps the variance of a signal; biases are
zero. The last layer of every residual branch is zero: a fresh network is shallow, and deepens as
it learns (Ho, Jain and Abbeel 2020; Dhariwal and Nichol 2021).
"""

import math
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgmkit import BadValue, Incompatible

SLOWEST, FASTEST = 0.5, 32.0
"""Radians per unit of time.

Half a turn of the slowest wave is longer than EDM's range of ``c_noise``, so it tells all times
apart. The fastest is slow on purpose: solvers differentiate what a network says in time. An MLP
trained on eight Gaussians under VP errs no less with 500 (squared error 0.0034, with 32 0.0030),
while its second derivative in time is 20 times as large (rms 759, with 32 34, exactly 17).
"""


def linear(inputs: int, outputs: int, zero: bool = False) -> nn.Linear:
    """A linear map, ``(..., inputs)`` to ``(..., outputs)``; with ``zero``, of zero weights."""
    layer = nn.Linear(inputs, outputs)
    _start(layer.weight, layer.bias, zero)
    return layer


def conv(
    inputs: int, outputs: int, size: int = 3, stride: int = 1, zero: bool = False
) -> nn.Conv2d:
    """A convolution that keeps height and width, or halves them, rounded up, at stride 2."""
    layer = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2)
    assert layer.bias is not None
    _start(layer.weight, layer.bias, zero)
    return layer


def _start(weight: Tensor, bias: Tensor, zero: bool) -> None:
    """Initial values, in place, from the global generator."""
    bound = 0.0 if zero else math.sqrt(3 / weight[0].numel())
    nn.init.uniform_(weight, -bound, bound)
    nn.init.zeros_(bias)


def waves(c: Tensor, width: int) -> Tensor:
    """Cosines and sines of the time, ``(B, width)``, at geometrically spaced frequencies.

    As in Vaswani et al. (2017), with frequencies for times of order one: [0, 1] and EDM's
    ``c_noise``. In float32 at least, for half precision cannot hold the fastest phases.

    Args:
        c: times, ``(B,)``.
        width: even.
    """
    c = c.to(torch.promote_types(c.dtype, torch.float32))
    place = torch.linspace(0, 1, width // 2, dtype=c.dtype, device=c.device)
    phase = c[:, None] * (SLOWEST * (FASTEST / SLOWEST) ** place)
    return torch.cat([phase.cos(), phase.sin()], 1)


class Conditioning(nn.Module):
    """What a network is told besides its input, the time and a label, as one vector.

    Args:
        features: waves of the time, even.
        width: of the vector.
        classes: number of labels; 0 for none.
    """

    def __init__(self, features: int, width: int, classes: int = 0) -> None:
        super().__init__()
        self.features = features
        self.time = nn.Sequential(linear(features, width), nn.SiLU(), linear(width, width))
        self.label = nn.Embedding(classes, width) if classes else None

    def forward(self, c: Tensor, y: Tensor | None, dtype: torch.dtype) -> Tensor:
        """``(B, width)``, from times ``(B,)`` and labels ``(B,)`` or None, which adds nothing."""
        told = self.time(waves(c, self.features).to(dtype))
        if y is not None:
            if self.label is None:
                raise Incompatible("the network has no classes: set classes, or leave labels out")
            told = told + self.label(y)
        return F.silu(told)


class ResBlock(nn.Module):
    """Norm, SiLU and convolution, twice; the conditioning scales and shifts the second norm.

    Args:
        inputs: channels in, a multiple of ``groups``.
        outputs: channels out, a multiple of ``groups``.
        told: width of the conditioning.
        groups: of group norm.
        dropout: probability, before the last convolution.
    """

    def __init__(self, inputs: int, outputs: int, told: int, groups: int, dropout: float) -> None:
        super().__init__()
        self.first_norm = nn.GroupNorm(groups, inputs)
        self.first = conv(inputs, outputs)
        self.told = linear(told, 2 * outputs)
        self.last_norm = nn.GroupNorm(groups, outputs)
        self.dropout = nn.Dropout(dropout)
        self.last = conv(outputs, outputs, zero=True)
        self.across = nn.Identity() if inputs == outputs else conv(inputs, outputs, 1)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """``(B, outputs, H, W)``, from ``x (B, inputs, H, W)`` and the conditioning."""
        h = self.first(F.silu(self.first_norm(x)))
        scale, shift = self.told(told)[:, :, None, None].chunk(2, 1)
        h = torch.addcmul(shift, self.last_norm(h), 1 + scale)
        return self.across(x) + self.last(self.dropout(F.silu(h)))


class Attention(nn.Module):
    """Every place of an image looks at every other (Vaswani et al. 2017), as a residual branch.

    Args:
        channels: a multiple of ``groups`` and of ``heads``.
        heads: attend independently, each with its share of the channels.
        groups: of group norm.
    """

    def __init__(self, channels: int, heads: int, groups: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(groups, channels)
        self.ask = linear(channels, 3 * channels)
        self.answer = linear(channels, channels, zero=True)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)``, from ``x (B, C, H, W)``."""
        places = self.norm(x).flatten(2).mT  # (B, H W, C): in channels_last no copy is made
        split = self.ask(places).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = split.unbind(0)  # (B, heads, H W, C / heads) each
        heard = F.scaled_dot_product_attention(query, key, value)
        out = self.answer(heard.transpose(1, 2).flatten(2))
        return x + out.mT.unflatten(2, x.shape[2:])


class Upsample(nn.Module):
    """Every pixel twice in height and width, cropped to a size met before, and a convolution.

    A stride of two rounds sizes up, 7 to 4, and centres its outputs on every other pixel, so that
    4 doubled to 8 and cropped to 7 lies where it was.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = conv(inputs, outputs)

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        """``(B, outputs, *size)``, from ``x (B, inputs, ceil(H / 2), ceil(W / 2))``."""
        wide = F.interpolate(x, scale_factor=2, mode="nearest")
        return self.conv(wide[..., : size[0], : size[1]])


def descend(
    h: Tensor, told: Tensor, down: Iterable[nn.Module], middle: Iterable[nn.Module]
) -> tuple[Tensor, list[Tensor]]:
    """A U-Net's way down from ``h`` and through its middle; and what the way up takes in, in turn.

    Each step takes its input and the conditioning ``told``. The list ends with the last step down.
    """
    kept = [h]
    for step in down:
        h = step(h, told)
        kept.append(h)
    for step in middle:
        h = step(h, told)
    return h, kept


def image_sizes(
    in_shape: tuple[int, ...], out_shape: tuple[int, ...], multipliers: Sequence[int]
) -> list[tuple[int, int]]:
    """Heights and widths of images on the way down, one for each multiplier, each half the last.

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
        told = f"{len(multipliers)} multipliers need as many sizes, but there are {len(sizes)}"
        raise BadValue(f"{told}: {listed}")
    return sizes[: len(multipliers)]
