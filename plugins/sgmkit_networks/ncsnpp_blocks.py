"""The blocks of NCSN++: resampling filters, residual blocks, attention.

Initial weights are uniform with variance 1 / (the mean of fan-in and fan-out), as in DDPM (Ho,
Jain and Abbeel 2020); biases are zero, and so is the last layer of every residual branch. Both ends
of a residual sum are scaled by 1 / sqrt(2), which keeps its variance.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgmkit_networks.blocks import Attention

FILTER = (1.0, 3.0, 3.0, 1.0)
"""Taps of the smooth resampling filter in each direction, before they are normalised."""
HALF = math.sqrt(0.5)
"""Factor of both terms of a residual sum."""


def linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear map, ``(..., inputs)`` to ``(..., outputs)``."""
    layer = nn.Linear(inputs, outputs)
    _start(layer.weight, layer.bias)
    return layer


def conv(inputs: int, outputs: int, size: int = 3, zero: bool = False) -> nn.Conv2d:
    """A convolution that keeps height and width; its weights start at zero if ``zero``."""
    layer = nn.Conv2d(inputs, outputs, size, padding=size // 2)
    assert layer.bias is not None
    _start(layer.weight, layer.bias, zero)
    return layer


def norm(channels: int) -> nn.GroupNorm:
    """Group norm. Groups: a quarter of the channels, at most 32, lowered until they divide them."""
    most = max(1, min(channels // 4, 32))
    groups = next(count for count in range(most, 0, -1) if channels % count == 0)
    return nn.GroupNorm(groups, channels, eps=1e-6)


def _start(weight: Tensor, bias: Tensor, zero: bool = False) -> None:
    """Set initial values in place, from the global generator."""
    mean = (weight.shape[0] + weight.shape[1]) / 2 * math.prod(weight.shape[2:])
    bound = 0.0 if zero else math.sqrt(3 / mean)
    nn.init.uniform_(weight, -bound, bound)
    nn.init.zeros_(bias)


def sinusoids(c: Tensor, width: int) -> Tensor:
    """Sines and cosines of ``c (B,)`` at frequencies 1 to 1 / 10,000, ``(B, width)``, width even.

    As in DDPM (Vaswani et al. 2017). Computed in float32 or better.
    """
    c = c.to(torch.promote_types(c.dtype, torch.float32))
    exponent = torch.linspace(0, 1, width // 2, dtype=c.dtype, device=c.device)
    phase = c[:, None] * torch.exp(-math.log(10_000) * exponent)
    return torch.cat([phase.sin(), phase.cos()], 1)


class Resample(nn.Module):
    """Halves height and width, rounding up; or doubles them, cropped to a size of the way down.

    With ``fir`` it uses the filter (1, 3, 3, 1) in each direction with zeros beyond the edges
    (Zhang 2019; Karras et al. 2020); an odd side is halved as if one more line of zeros followed.
    Without, it takes the mean of each square of four pixels (of those that are there), or repeats
    each pixel four times.

    Args:
        step: ``down`` halves, ``up`` doubles.
        fir: use the smooth filter, against aliasing.
    """

    taps: Tensor | None

    def __init__(self, step: Literal["down", "up"], fir: bool) -> None:
        super().__init__()
        self.up = step == "up"
        taps = torch.tensor(FILTER) / sum(FILTER) * (2 if self.up else 1)
        square = torch.outer(taps, taps)[None, None] if fir else None
        self.register_buffer("taps", square, persistent=False)

    def forward(self, x: Tensor, size: torch.Size | None = None) -> Tensor:
        """``(B, C, ceil(H / 2), ceil(W / 2))``, or ``(B, C, *size)``."""
        if self.up:
            wide = self._double(x)
            return wide if size is None else wide[..., : size[0], : size[1]]
        if self.taps is None:
            return F.avg_pool2d(x, 2, ceil_mode=True)
        x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
        return F.conv2d(x, self._filters(x, self.taps), stride=2, padding=1, groups=x.shape[1])

    def _double(self, x: Tensor) -> Tensor:
        if self.taps is None:
            return F.interpolate(x, scale_factor=2, mode="nearest")
        filters = self._filters(x, self.taps)
        return F.conv_transpose2d(x, filters, stride=2, padding=1, groups=x.shape[1])

    def _filters(self, x: Tensor, taps: Tensor) -> Tensor:
        return taps.expand(x.shape[1], 1, -1, -1).to(x.dtype)


class Residual(nn.Module):
    """BigGAN's residual block (Brock et al. 2019; Song et al. 2021), which may change the size.

    Norm, SiLU, resampling of both branch and shortcut, convolution, time added, norm, SiLU,
    dropout, convolution.

    Args:
        inputs, outputs: channels.
        condition_width: length of the conditioning vector.
        dropout: probability of dropout before the last convolution.
        resample: applied to the input; None keeps its size.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        condition_width: int,
        dropout: float,
        resample: Resample | None = None,
    ) -> None:
        super().__init__()
        self.resample = resample
        self.first_norm, self.first = norm(inputs), conv(inputs, outputs)
        self.add_module("told", linear(condition_width, outputs))
        self.last_norm, self.last = norm(outputs), conv(outputs, outputs, zero=True)
        self.dropout = nn.Dropout(dropout)
        same = inputs == outputs and resample is None
        self.across = nn.Identity() if same else conv(inputs, outputs, 1)

    @property
    def shift(self) -> nn.Module:
        """The map from the conditioning to a shift; checkpoints have it under "told"."""
        return self._modules["told"]  # type: ignore[return-value]

    def forward(self, x: Tensor, conditioning: Tensor, size: torch.Size | None = None) -> Tensor:
        """``(B, outputs, *sizes)``, from ``x (B, inputs, H, W)`` and the conditioning."""
        h = F.silu(self.first_norm(x))
        if self.resample is not None:
            h, x = self.resample(h, size), self.resample(x, size)
        h = self.first(h) + self.shift(conditioning)[:, :, None, None]
        h = self.last(self.dropout(F.silu(self.last_norm(h))))
        return (self.across(x) + h) * HALF


class Attend(nn.Module):
    """Attention of one head as a residual branch, scaled by `HALF` as residual blocks are."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = Attention(channels, 1, 1)
        self.inner.norm = norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, channels, H, W)``."""
        return self.inner(x) * HALF
