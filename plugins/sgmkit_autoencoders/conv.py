"""A small residual VAE for images."""

from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Gt
from torch import Tensor, nn
from typing_extensions import Doc

from sgmkit import Autoencoder, BadValue, Latents, Noise
from sgmkit.models import bounded
from sgmkit_autoencoders.shapes import image_size


class Conv(Autoencoder):
    """One scale of latents on a small grid, from residual blocks with group norm and SiLU.

    For each of ``widths`` a strided convolution halves the image and ``blocks`` residual blocks
    follow; the decoder mirrors the encoder. Images whose sides do not halve evenly are padded with
    background (-1) at the bottom and on the right; the output is cropped. With the default options
    28 x 28 digits have latents of 7 x 7, and all larger images latents with sides of at most 8.

    Raises:
        BadValue: for shapes that are no images, or are smaller than the halvings.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        widths: Annotated[
            tuple[int, ...] | None,
            Doc("channels after each halving; unset: ..., 16, 64, until sides are at most 8"),
        ] = None,
        blocks: Annotated[int, Gt(0), Doc("residual blocks at each size")] = 1,
        latents: Annotated[int, Gt(0), Doc("channels of the latents")] = 8,
        groups: Annotated[int, Gt(0), Doc("groups of group norm")] = 8,
    ) -> None:
        super().__init__(in_shape, out_shape)
        sizes = image_size(self.in_shape, self.out_shape)
        widths = _default_widths(max(sizes)) if widths is None else widths
        if min(sizes) < 2 ** len(widths):
            raise BadValue(
                f"{len(widths)} widths halve images to nothing: {sizes} is too small; "
                "give fewer widths"
            )
        if not widths or any(width % groups for width in widths):
            raise BadValue(f"widths {tuple(widths)} must be multiples of groups = {groups}")
        factor = 2 ** len(widths)
        self._padded = tuple(-(-size // factor) * factor for size in sizes)
        self.scales = ((latents, *(size // factor for size in self._padded)),)
        down, up, before = list[nn.Module](), list[nn.Module](), self.in_shape[0]
        for width in widths:
            down += [nn.Conv2d(before, width, 4, 2, 1), *_stack(width, blocks, groups)]
            before = width
        for place, width in enumerate(reversed(widths)):
            after = [*reversed(widths)][place + 1 :][:1] or [widths[0]]
            up += [*_stack(width, blocks, groups), Enlarge(width, after[0])]
        self.encoder = nn.Sequential(*down, nn.GroupNorm(groups, before), nn.SiLU())
        # Checkpoints of earlier versions know this layer by the name "told".
        self.add_module("told", nn.Conv2d(before, 2 * latents, 3, padding=1))
        self.enter = nn.Conv2d(latents, before, 3, padding=1)
        self.decoder = nn.Sequential(*up, nn.GroupNorm(groups, widths[0]), nn.SiLU())
        self.leave = nn.Conv2d(widths[0], self.out_shape[0], 3, padding=1)

    @property
    def to_moments(self) -> nn.Module:
        """The encoder's last layer: means and log standard deviations of the latents."""
        return self.get_submodule("told")

    def encode(self, x: Tensor, noise: Noise) -> tuple[Latents, ...]:
        padding = [up - now for now, up in zip(x.shape[2:], self._padded, strict=True)]
        if any(padding):
            x = F.pad(x, (0, padding[1], 0, padding[0]), value=-1.0)
        mean, std = bounded(*self.to_moments(self.encoder(x)).chunk(2, 1))
        z = torch.addcmul(mean, std, noise(mean))
        return (Latents(z, mean, std, (mean.shape[1],)),)

    def decode(self, z: Sequence[Tensor]) -> Tensor:
        h = self.decoder(self.enter(z[0].to(self.enter.weight.dtype)))
        height, width = self.out_shape[1:]
        return self.leave(h)[:, :, :height, :width]


class Residual(nn.Module):
    """``x + conv(SiLU(norm(conv(SiLU(norm(x))))))``; the last convolution begins at zero."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(groups, width) for _ in range(2))
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        for value in self.convs[-1].parameters():
            nn.init.zeros_(value)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, width, H, W)``."""
        h = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            h = conv(F.silu(norm(h)))
        return x + h


class Enlarge(nn.Module):
    """Doubles the size: 4 x ``outputs`` channels of a pixel become four pixels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, 4 * outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, outputs, 2 H, 2 W)``."""
        return F.pixel_shuffle(self.conv(x), 2)


def _stack(width: int, blocks: int, groups: int) -> list[nn.Module]:
    return [Residual(width, groups) for _ in range(blocks)]


def _default_widths(side: int) -> tuple[int, ...]:
    """Default widths: as many halvings as bring the sides to at most 8; only the last is wide."""
    halvings = 1
    while side > 8 * 2**halvings:
        halvings += 1
    return (*(16,) * (halvings - 1), 64)
