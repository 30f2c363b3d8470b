"""Residual cells of NVAE (Vahdat and Kautz 2020): at one size, to half of it, to twice.

``skip(x) + 0.1 excite(branch(x))``. Batch norm has momentum 0.05. Images have even sides.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgmkit_autoencoders.nvae_convs import normed

MOMENTUM, SHARE = 0.05, 0.1
Step = Literal["same", "down", "up"]


def norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm, whose statistics move by a twentieth at each step."""
    return nn.BatchNorm2d(channels, momentum=MOMENTUM)


def twice() -> nn.Upsample:
    """Every pixel twice in height and width."""
    return nn.Upsample(scale_factor=2, mode="nearest")


def swish_conv(inputs: int, outputs: int, stride: int = 1, grow: bool = False) -> nn.Sequential:
    """Batch norm, swish and a normalised 3 x 3 convolution, with ``grow`` of twice the size."""
    wide = [twice()] if grow else []  # after norm and swish, which is the same and cheaper
    return nn.Sequential(norm(inputs), nn.SiLU(), *wide, normed(inputs, outputs, stride=stride))


def plain(inputs: int, outputs: int, step: Step) -> nn.Sequential:
    """The branch ``bnswish``: `swish_conv` twice."""
    first = swish_conv(inputs, outputs, 2 if step == "down" else 1, step == "up")
    return nn.Sequential(*first, *swish_conv(outputs, outputs))


def inverted(inputs: int, outputs: int, step: Step, wider: int) -> nn.Sequential:
    """The branch ``mbconv``: an inverted residual (Sandler et al. 2018), 5 x 5 by channel.

    Its convolutions have no weight normalisation and no bias: batch norm follows each.

    Args:
        wider: channels within, for each of the input.
    """
    hidden, stride = wider * inputs, 2 if step == "down" else 1
    return nn.Sequential(
        norm(inputs),
        nn.Conv2d(inputs, hidden, 1, bias=False),
        norm(hidden),
        nn.SiLU(),
        *([twice()] if step == "up" else []),  # here it is the same as at first, and cheaper
        nn.Conv2d(hidden, hidden, 5, stride, 2, groups=hidden, bias=False),
        norm(hidden),
        nn.SiLU(),
        nn.Conv2d(hidden, outputs, 1, bias=False),
        norm(outputs),
    )


class Excite(nn.Module):
    """Squeeze and excitation (Hu, Shen and Sun 2018): channels weighed by what they hold."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 16, 4)
        layers = nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid()
        self.weigh = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, channels, H, W)``."""
        return x * self.weigh(x.mean((2, 3)))[:, :, None, None]


class Halve(nn.Module):
    """The skip to half the size: swish, and a share of the channels from each pixel of a square."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        share = outputs // 4
        shares = (share, share, share, outputs - 3 * share)
        self.parts = nn.ModuleList(normed(inputs, size, 1, stride=2) for size in shares)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, outputs, H / 2, W / 2)``."""
        x = F.silu(x)
        corners = ((0, 0), (0, 1), (1, 0), (1, 1))
        pairs = zip(self.parts, corners, strict=True)
        return torch.cat([part(x[..., i:, j:]) for part, (i, j) in pairs], 1)


class Double(nn.Module):
    """The skip to twice the size: between the pixels bilinear, and a 1 x 1 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = normed(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, outputs, 2 H, 2 W)``, corners on corners."""
        wide = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        return self.conv(wide)


class Cell(nn.Module):
    """A residual cell.

    Args:
        inputs, outputs: channels; the same where ``step`` is ``same``.
        step: ``same`` size, ``down`` to half, ``up`` to twice.
        wider: of an inverted residual; 0 for two plain convolutions.
        squeeze: weigh channels by squeeze and excitation.
    """

    def __init__(
        self, inputs: int, outputs: int, step: Step = "same", wider: int = 0, squeeze: bool = True
    ) -> None:
        super().__init__()
        skips = {"same": nn.Identity, "down": Halve, "up": Double}
        self.skip = skips[step](inputs, outputs)
        make = inverted(inputs, outputs, step, wider) if wider else plain(inputs, outputs, step)
        self.branch = nn.Sequential(*make, *([Excite(outputs)] if squeeze else []))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, outputs, ...)``, of the step's size."""
        return torch.add(self.skip(x), self.branch(x), alpha=SHARE)
