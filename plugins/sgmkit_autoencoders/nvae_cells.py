"""Residual cells of NVAE (Vahdat and Kautz 2020), which keep, halve or double the size.

A cell is ``skip(x) + 0.1 excite(branch(x))``. Batch norm has momentum 0.05. Images must have even
sides where they are halved.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgmkit_autoencoders.nvae_convs import normed

MOMENTUM, RESIDUAL_WEIGHT = 0.05, 0.1
Step = Literal["same", "down", "up"]


def norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm with momentum 0.05."""
    return nn.BatchNorm2d(channels, momentum=MOMENTUM)


def nearest_upsample() -> nn.Upsample:
    """Twice the height and width: every pixel becomes four equal ones."""
    return nn.Upsample(scale_factor=2, mode="nearest")


def swish_conv(inputs: int, outputs: int, stride: int = 1, grow: bool = False) -> nn.Sequential:
    """Batch norm, swish and a weight-normalised 3 x 3 convolution; ``grow`` doubles the size."""
    # Upsampling commutes with norm and swish; after them it is cheaper.
    upsample = [nearest_upsample()] if grow else []
    return nn.Sequential(norm(inputs), nn.SiLU(), *upsample, normed(inputs, outputs, stride=stride))


def plain(inputs: int, outputs: int, step: Step) -> nn.Sequential:
    """The branch of the architecture ``bnswish``: `swish_conv` twice."""
    first = swish_conv(inputs, outputs, 2 if step == "down" else 1, step == "up")
    return nn.Sequential(*first, *swish_conv(outputs, outputs))


def inverted(inputs: int, outputs: int, step: Step, wider: int) -> nn.Sequential:
    """The branch of the architecture ``mbconv``: an inverted residual (Sandler et al. 2018).

    Its middle is a depthwise 5 x 5 convolution. No convolution has weight normalisation or a bias,
    since batch norm follows each.

    Args:
        wider: factor by which the middle has more channels than the input.
    """
    hidden, stride = wider * inputs, 2 if step == "down" else 1
    return nn.Sequential(
        norm(inputs),
        nn.Conv2d(inputs, hidden, 1, bias=False),
        norm(hidden),
        nn.SiLU(),
        # The same result as upsampling before the 1 x 1 convolution, at a quarter of its cost.
        *([nearest_upsample()] if step == "up" else []),
        nn.Conv2d(hidden, hidden, 5, stride, 2, groups=hidden, bias=False),
        norm(hidden),
        nn.SiLU(),
        nn.Conv2d(hidden, outputs, 1, bias=False),
        norm(outputs),
    )


class Excite(nn.Module):
    """Squeeze and excitation (Hu, Shen and Sun 2018): weights of channels from their means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 16, 4)
        layers = nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid()
        self.weigh = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, channels, H, W)``."""
        return x * self.weigh(x.mean((2, 3)))[:, :, None, None]


class Halve(nn.Module):
    """The skip connection to half the size.

    After swish, four strided 1 x 1 convolutions each see one of the four pixels of a square; each
    gives a quarter of the output channels.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        quarter = outputs // 4
        widths = (quarter, quarter, quarter, outputs - 3 * quarter)
        self.parts = nn.ModuleList(normed(inputs, width, 1, stride=2) for width in widths)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, outputs, H / 2, W / 2)``."""
        x = F.silu(x)
        corners = ((0, 0), (0, 1), (1, 0), (1, 1))
        pairs = zip(self.parts, corners, strict=True)
        return torch.cat([part(x[..., i:, j:]) for part, (i, j) in pairs], 1)


class Double(nn.Module):
    """The skip connection to twice the size: bilinear interpolation and a 1 x 1 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = normed(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, outputs, 2 H, 2 W)``; the corner pixels are aligned."""
        larger = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        return self.conv(larger)


class Cell(nn.Module):
    """A residual cell, ``skip(x) + 0.1 branch(x)``.

    Args:
        inputs, outputs: channels; equal where ``step`` is ``same``.
        step: ``same`` size, ``down`` to half or ``up`` to twice the size.
        wider: as in `inverted`; with 0 the branch is `plain`.
        squeeze: whether the branch ends in squeeze and excitation.
    """

    def __init__(
        self, inputs: int, outputs: int, step: Step = "same", wider: int = 0, squeeze: bool = True
    ) -> None:
        super().__init__()
        skips = {"same": nn.Identity, "down": Halve, "up": Double}
        self.skip = skips[step](inputs, outputs)
        layers = inverted(inputs, outputs, step, wider) if wider else plain(inputs, outputs, step)
        self.branch = nn.Sequential(*layers, *([Excite(outputs)] if squeeze else []))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, outputs, H', W')``, with the size that ``step`` makes."""
        return torch.add(self.skip(x), self.branch(x), alpha=RESIDUAL_WEIGHT)
