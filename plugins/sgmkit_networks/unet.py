"""A residual U-Net for images that is told the time."""

import itertools
from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn
from typing_extensions import Doc

from sgmkit import BadValue, Network
from sgmkit_networks.blocks import (
    Attention,
    Conditioning,
    ResBlock,
    Upsample,
    conv,
    descend,
    image_sizes,
)


class UNet(Network):
    """U-Net of residual blocks with group norm, SiLU and attention, for images of any size.

    After Ho, Jain and Abbeel (2020), with the time as scale and shift of a norm (Dhariwal and
    Nichol 2021): ``blocks`` residual blocks at each size on the way down, two around attention in
    the middle, and ``blocks + 1`` at each size on the way up, each of which also sees what one
    step on the way down left. Sizes need not halve evenly: 7 shrinks to 4, and 4 grows to 8,
    cropped to 7. A fresh network answers zero. It keeps the memory format of its input, or goes to
    ``channels_last`` where its weights are, and compiles to one graph.

    The defaults suit small images on a CPU: every size costs the same, for channels double as
    pixels quarter. For 32 x 32 colours on a GPU, Ho et al. take ``channels=128:groups=32:
    multipliers=(1,2,2,2):blocks=2:attention=(16,):heads=1:dropout=0.1``.

    Raises:
        BadValue: for shapes that are no images, or options that contradict each other or them.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        channels: Annotated[int, Gt(0), Doc("at the full size, times the first multiplier")] = 16,
        multipliers: Annotated[
            tuple[int, ...], Doc("of the channels, for each size; each size is half the last")
        ] = (1, 2, 4),
        blocks: Annotated[int, Gt(0), Doc("residual blocks at each size")] = 1,
        attention: Annotated[
            tuple[int, ...], Doc("heights at which every block attends; the middle always does")
        ] = (),
        heads: Annotated[int, Gt(0), Doc("of attention")] = 4,
        groups: Annotated[int, Gt(0), Doc("of group norm")] = 8,
        dropout: Annotated[float, Ge(0), Lt(1), Doc("probability, in residual blocks")] = 0.0,
        classes: Annotated[int, Ge(0), Doc("number of labels; 0: none")] = 0,
    ) -> None:
        super().__init__(in_shape, out_shape)
        sizes = image_sizes(self.in_shape, self.out_shape, multipliers)
        if channels % groups:
            raise BadValue(f"channels = {channels} is not a multiple of groups = {groups}")
        widths = [channels * multiplier for multiplier in multipliers]
        attends = _attends([height for height, _ in sizes], widths, heads, attention)
        self.classes, told = classes, 4 * channels
        self.conditioning = Conditioning(told, told, classes)

        def block(inputs: int, level: int, attend: bool) -> Block:
            own = heads if attend else 0
            return Block(inputs, widths[level], told, groups, dropout, own)

        width, kept, levels = widths[0], [widths[0]], range(len(widths))
        self.enter = conv(in_shape[0], width)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level in levels:
            if level:
                self.down.append(Shrink(width))
                kept.append(width)
            for _ in range(blocks):
                self.down.append(block(width, level, attends[level]))
                kept.append(width := widths[level])
        self.middle = nn.ModuleList(block(width, levels[-1], attend) for attend in (True, False))
        for level in reversed(levels):
            for place in range(blocks + 1):
                grow = Upsample(width, widths[level]) if level < levels[-1] and not place else None
                width = widths[level]
                self.up.append(Join(grow, block(width + kept.pop(), level, attends[level])))
        self.norm = nn.GroupNorm(groups, width)
        self.leave = conv(width, out_shape[0], zero=True)

    def forward(self, z: Tensor, c: Tensor, y: Tensor | None = None) -> Tensor:
        told = self.conditioning(c, y, z.dtype)
        h, kept = descend(self.enter(z), told, self.down, self.middle)
        for step in self.up:
            h = step(h, kept.pop(), told)
        return self.leave(F.silu(self.norm(h)))


class Block(nn.Module):
    """A residual block, with attention after it where ``heads`` is not 0."""

    def __init__(
        self, inputs: int, outputs: int, told: int, groups: int, dropout: float, heads: int
    ) -> None:
        super().__init__()
        self.convs = ResBlock(inputs, outputs, told, groups, dropout)
        self.attention = Attention(outputs, heads, groups) if heads else nn.Identity()

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """``(B, outputs, H, W)``, from ``x (B, inputs, H, W)`` and the conditioning."""
        return self.attention(self.convs(x, told))


class Shrink(nn.Module):
    """The step on the way down that halves the size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv(channels, channels, stride=2)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """``(B, C, ceil(H / 2), ceil(W / 2))``; the conditioning is not looked at."""
        return self.conv(x)


class Join(nn.Module):
    """A step on the way up: grow to the size of what was kept, if larger, and take it in."""

    def __init__(self, grow: Upsample | None, block: Block) -> None:
        super().__init__()
        self.grow, self.block = grow, block

    def forward(self, x: Tensor, kept: Tensor, told: Tensor) -> Tensor:
        """``(B, outputs, H, W)``, from ``kept (B, C, H, W)`` and ``x`` of that size or half."""
        if self.grow is not None:
            x = self.grow(x, kept.shape[2:])
        return self.block(torch.cat([x, kept], 1), told)


def _attends(
    heights: Sequence[int], widths: Sequence[int], heads: int, attention: Sequence[int]
) -> list[bool]:
    """Whether blocks attend at each height on the way down."""
    for height in attention:
        if height not in heights:
            listed = ", ".join(map(str, heights))
            raise BadValue(f"attention at height {height}, which is none of {listed}")
    attends = [height in attention for height in heights]
    for width in [*itertools.compress(widths, attends), widths[-1]]:
        if width % heads:
            raise BadValue(f"heads = {heads} does not divide the {width} channels that attend")
    return attends
