"""A residual U-Net for images, conditioned on the time."""

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
    the middle, and ``blocks + 1`` at each size on the way up, each with a skip connection from one
    step on the way down. Sizes need not halve evenly: 7 shrinks to 4, and 4 grows to 8, cropped to
    7. A fresh network answers zero. The output is ``channels_last`` if the input or the weights
    are. The network compiles to one graph.

    The defaults suit small images on a CPU: every size costs the same, for channels double as
    pixels quarter. For colour images of 32 x 32 on a GPU, Ho et al. take ``channels=128:groups=32:
    multipliers=(1,2,2,2):blocks=2:attention=(16,):heads=1:dropout=0.1``.

    Raises:
        BadValue: for shapes that are no images, or options that contradict them or each other.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        channels: Annotated[
            int, Gt(0), Doc("channels at the full size, before the first multiplier")
        ] = 16,
        multipliers: Annotated[
            tuple[int, ...],
            Doc("factors of the channels, one for each size; each size is half the one before"),
        ] = (1, 2, 4),
        blocks: Annotated[int, Gt(0), Doc("number of residual blocks at each size")] = 1,
        attention: Annotated[
            tuple[int, ...],
            Doc("heights at which attention follows every block; the middle always has it"),
        ] = (),
        heads: Annotated[int, Gt(0), Doc("number of heads of attention")] = 4,
        groups: Annotated[int, Gt(0), Doc("groups of the group norms")] = 8,
        dropout: Annotated[
            float, Ge(0), Lt(1), Doc("probability of dropout in residual blocks")
        ] = 0.0,
        classes: Annotated[int, Ge(0), Doc("number of labels; 0 for none")] = 0,
    ) -> None:
        super().__init__(in_shape, out_shape)
        sizes = image_sizes(self.in_shape, self.out_shape, multipliers)
        if channels % groups:
            raise BadValue(f"channels = {channels} is not a multiple of groups = {groups}")
        widths = [channels * multiplier for multiplier in multipliers]
        attends = _attends([height for height, _ in sizes], widths, heads, attention)
        self.classes, condition_width = classes, 4 * channels
        self.conditioning = Conditioning(condition_width, condition_width, classes)

        def block(inputs: int, level: int, attend: bool) -> Block:
            heads_here = heads if attend else 0
            return Block(inputs, widths[level], condition_width, groups, dropout, heads_here)

        width, skips, levels = widths[0], [widths[0]], range(len(widths))
        self.enter = conv(in_shape[0], width)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level in levels:
            if level:
                self.down.append(Shrink(width))
                skips.append(width)
            for _ in range(blocks):
                self.down.append(block(width, level, attends[level]))
                skips.append(width := widths[level])
        self.middle = nn.ModuleList(block(width, levels[-1], attend) for attend in (True, False))
        for level in reversed(levels):
            for number in range(blocks + 1):
                grows = level < levels[-1] and number == 0
                grow = Upsample(width, widths[level]) if grows else None
                width = widths[level]
                self.up.append(Join(grow, block(width + skips.pop(), level, attends[level])))
        self.norm = nn.GroupNorm(groups, width)
        self.leave = conv(width, out_shape[0], zero=True)

    def forward(self, z: Tensor, c: Tensor, y: Tensor | None = None) -> Tensor:
        conditioning = self.conditioning(c, y, z.dtype)
        h, skips = descend(self.enter(z), conditioning, self.down, self.middle)
        for step in self.up:
            h = step(h, skips.pop(), conditioning)
        return self.leave(F.silu(self.norm(h)))


class Block(nn.Module):
    """A residual block, followed by attention unless ``heads`` is 0."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        condition_width: int,
        groups: int,
        dropout: float,
        heads: int,
    ) -> None:
        super().__init__()
        self.convs = ResBlock(inputs, outputs, condition_width, groups, dropout)
        self.attention = Attention(outputs, heads, groups) if heads else nn.Identity()

    def forward(self, x: Tensor, conditioning: Tensor) -> Tensor:
        """``(B, outputs, H, W)``, from ``x (B, inputs, H, W)`` and the conditioning."""
        return self.attention(self.convs(x, conditioning))


class Shrink(nn.Module):
    """The step on the way down that halves the size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv(channels, channels, stride=2)

    def forward(self, x: Tensor, conditioning: Tensor) -> Tensor:
        """``(B, C, ceil(H / 2), ceil(W / 2))``; the conditioning is not used."""
        return self.conv(x)


class Join(nn.Module):
    """A step on the way up: doubles the size if needed, then a block with a skip connection."""

    def __init__(self, grow: Upsample | None, block: Block) -> None:
        super().__init__()
        self.grow, self.block = grow, block

    def forward(self, x: Tensor, skip: Tensor, conditioning: Tensor) -> Tensor:
        """``(B, outputs, H, W)``, from ``skip (B, C, H, W)`` and ``x`` of that size or half."""
        if self.grow is not None:
            x = self.grow(x, skip.shape[2:])
        return self.block(torch.cat([x, skip], 1), conditioning)


def _attends(
    heights: Sequence[int], widths: Sequence[int], heads: int, attention: Sequence[int]
) -> list[bool]:
    """Whether attention follows the blocks, for each height on the way down."""
    for height in attention:
        if height not in heights:
            listed = ", ".join(map(str, heights))
            raise BadValue(f"attention at height {height}, which is none of {listed}")
    attends = [height in attention for height in heights]
    for width in [*itertools.compress(widths, attends), widths[-1]]:
        if width % heads:
            raise BadValue(f"heads = {heads} does not divide the {width} channels that attend")
    return attends
