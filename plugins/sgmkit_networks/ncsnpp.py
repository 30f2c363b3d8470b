"""NCSN++, the U-Net of Song et al. (2021), as LSGM has it for latents."""

from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn
from typing_extensions import Doc

from sgmkit import BadValue, Incompatible, Network
from sgmkit_networks.blocks import descend, image_sizes
from sgmkit_networks.ncsnpp_blocks import Attend, Resample, Residual, conv, linear, norm, sinusoids


class NCSNpp(Network):
    """U-Net of BigGAN's residual blocks, with attention of one head, for images of any size.

    NCSN++ (Song et al. 2021) as LSGM takes it for its priors (Vahdat, Kreis and Kautz 2021):
    sinusoids of the time, added within blocks, no progressive growing, and no scaling of the answer
    by the time. Sizes need not halve evenly: 7 shrinks to 4, and 4 grows to 8, cropped to 7. A
    fresh network answers zero.

    The defaults suit latents of a few pixels on a CPU. LSGM has ``channels=512:multipliers=(1,1,1):
    blocks=8:fir=true:dropout=0.2`` on CIFAR-10's latents, and ``channels=256:multipliers=(1,1):
    blocks=8:dropout=0.2`` on MNIST's.

    Raises:
        BadValue: for shapes that are no images or smaller than the halvings, or an odd embedding.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        channels: Annotated[int, Gt(0), Doc("at the full size, times the first multiplier")] = 32,
        multipliers: Annotated[
            tuple[int, ...], Doc("of the channels, for each size; each size is half the last")
        ] = (1, 2),
        blocks: Annotated[int, Gt(0), Doc("residual blocks at each size on the way down")] = 2,
        attention: Annotated[
            tuple[int, ...], Doc("heights at which blocks attend, if met; the middle always does")
        ] = (16,),
        fir: Annotated[bool, Doc("halve and double by a smooth filter")] = False,
        embedding: Annotated[int, Gt(3), Doc("sines and cosines of the time, even")] = 128,
        scale: Annotated[float, Gt(0), Doc("of the time within them")] = 1000.0,
        dropout: Annotated[float, Ge(0), Lt(1), Doc("probability, in residual blocks")] = 0.0,
        classes: Annotated[int, Ge(0), Doc("number of labels; 0: none")] = 0,
    ) -> None:
        super().__init__(in_shape, out_shape)
        heights = [size[0] for size in image_sizes(self.in_shape, self.out_shape, multipliers)]
        if embedding % 2:
            raise BadValue(f"embedding = {embedding} is odd: sines and cosines come in pairs")
        told = 4 * embedding
        self.classes, self.embedding, self.scale = classes, embedding, scale
        self.time = nn.Sequential(linear(embedding, told), nn.SiLU(), linear(told, told))
        self.label = nn.Embedding(classes, told) if classes else None
        widths, width = [channels * multiplier for multiplier in multipliers], channels
        self.enter, kept = conv(in_shape[0], width), [width]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, (height, after) in enumerate(zip(heights, widths, strict=True)):
            if level:
                self.down.append(Residual(width, width, told, dropout, Resample("down", fir)))
                kept.append(width)
            for _ in range(blocks):
                block = Residual(width, after, told, dropout)
                self.down.append(Block(block, height in attention))
                kept.append(width := after)
        ends = (Residual(width, width, told, dropout) for _ in range(2))
        self.middle = nn.ModuleList(Block(end, not place) for place, end in enumerate(ends))
        for level, (height, after) in reversed([*enumerate(zip(heights, widths, strict=True))]):
            stage = nn.ModuleList()
            for _ in range(blocks + 1):
                stage.append(Residual(width + kept.pop(), after, told, dropout))
                width = after
            last = Attend(width) if height in attention else nn.Identity()
            grow = Residual(width, width, told, dropout, Resample("up", fir)) if level else None
            self.up.append(Stage(stage, last, grow))
        self.norm, self.leave = norm(width), conv(width, out_shape[0], zero=True)

    def forward(self, z: Tensor, c: Tensor, y: Tensor | None = None) -> Tensor:
        told = self._told(c, y, z.dtype)
        h, kept = descend(self.enter(z), told, self.down, self.middle)
        for stage in self.up:
            h = stage(h, kept, told)
        return self.leave(F.silu(self.norm(h)))

    def _told(self, c: Tensor, y: Tensor | None, dtype: torch.dtype) -> Tensor:
        """What every block is told, ``(B, 4 embedding)``."""
        told = self.time(sinusoids(self.scale * c, self.embedding).to(dtype))
        if y is not None:
            if self.label is None:
                raise Incompatible("the network has no classes: set classes, or leave labels out")
            told = told + self.label(y)
        return F.silu(told)


class Block(nn.Module):
    """A residual block, with attention after it where it ``attends``."""

    def __init__(self, block: Residual, attends: bool) -> None:
        super().__init__()
        self.block = block
        self.attention = Attend(block.last.out_channels) if attends else nn.Identity()

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """``(B, outputs, H, W)``, from ``x (B, inputs, H, W)`` and the conditioning."""
        return self.attention(self.block(x, told))


class Stage(nn.Module):
    """One size on the way up: blocks that each take in what was kept, attention, growth."""

    def __init__(self, blocks: nn.ModuleList, last: nn.Module, grow: Residual | None) -> None:
        super().__init__()
        self.blocks, self.last, self.grow = blocks, last, grow

    def forward(self, x: Tensor, kept: list[Tensor], told: Tensor) -> Tensor:
        """``(B, outputs, *sizes)``, of the size of the last that is left in ``kept``."""
        for block in self.blocks:
            x = block(torch.cat([x, kept.pop()], 1), told)
        x = self.last(x)
        return x if self.grow is None else self.grow(x, told, kept[-1].shape[2:])
