"""NCSN++, the U-Net of Song et al. (2021), as LSGM uses it for latents."""

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

    NCSN++ (Song et al. 2021) as LSGM uses it for its priors (Vahdat, Kreis and Kautz 2021): an
    embedding of the time in sinusoids is added within blocks; there is no progressive growing, and
    the output is not divided by the noise level. Sizes need not halve evenly: 7 shrinks to 4, and
    4 grows to 8, cropped to 7. A fresh network answers zero.

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
        channels: Annotated[
            int, Gt(0), Doc("channels at the full size, before the first multiplier")
        ] = 32,
        multipliers: Annotated[
            tuple[int, ...],
            Doc("factors of the channels, one for each size; each size is half the one before"),
        ] = (1, 2),
        blocks: Annotated[
            int, Gt(0), Doc("number of residual blocks at each size on the way down")
        ] = 2,
        attention: Annotated[
            tuple[int, ...],
            Doc(
                "heights at which attention follows blocks, where there is such a size; the "
                "middle always has it"
            ),
        ] = (16,),
        fir: Annotated[bool, Doc("resample with the smooth filter (1, 3, 3, 1)")] = False,
        embedding: Annotated[
            int, Gt(3), Doc("number of sines and cosines of the time, an even number")
        ] = 128,
        scale: Annotated[
            float, Gt(0), Doc("factor of the time inside the sines and cosines")
        ] = 1000.0,
        dropout: Annotated[
            float, Ge(0), Lt(1), Doc("probability of dropout in residual blocks")
        ] = 0.0,
        classes: Annotated[int, Ge(0), Doc("number of labels; 0 for none")] = 0,
    ) -> None:
        super().__init__(in_shape, out_shape)
        heights = [size[0] for size in image_sizes(self.in_shape, self.out_shape, multipliers)]
        if embedding % 2:
            raise BadValue(f"embedding = {embedding} is odd: sines and cosines come in pairs")
        wide = 4 * embedding  # length of the conditioning vector
        self.classes, self.embedding, self.scale = classes, embedding, scale
        self.time = nn.Sequential(linear(embedding, wide), nn.SiLU(), linear(wide, wide))
        self.label = nn.Embedding(classes, wide) if classes else None
        widths, width = [channels * multiplier for multiplier in multipliers], channels
        self.enter, skips = conv(in_shape[0], width), [width]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, (height, after) in enumerate(zip(heights, widths, strict=True)):
            if level:
                self.down.append(Residual(width, width, wide, dropout, Resample("down", fir)))
                skips.append(width)
            for _ in range(blocks):
                block = Residual(width, after, wide, dropout)
                self.down.append(Block(block, height in attention))
                skips.append(width := after)
        self.middle = nn.ModuleList(
            Block(Residual(width, width, wide, dropout), attends) for attends in (True, False)
        )
        for level, (height, after) in reversed([*enumerate(zip(heights, widths, strict=True))]):
            stage = nn.ModuleList()
            for _ in range(blocks + 1):
                stage.append(Residual(width + skips.pop(), after, wide, dropout))
                width = after
            last = Attend(width) if height in attention else nn.Identity()
            grow = Residual(width, width, wide, dropout, Resample("up", fir)) if level else None
            self.up.append(Stage(stage, last, grow))
        self.norm, self.leave = norm(width), conv(width, out_shape[0], zero=True)

    def forward(self, z: Tensor, c: Tensor, y: Tensor | None = None) -> Tensor:
        conditioning = self._conditioning(c, y, z.dtype)
        h, skips = descend(self.enter(z), conditioning, self.down, self.middle)
        for stage in self.up:
            h = stage(h, skips, conditioning)
        return self.leave(F.silu(self.norm(h)))

    def _conditioning(self, c: Tensor, y: Tensor | None, dtype: torch.dtype) -> Tensor:
        """The vector that conditions every block, ``(B, 4 embedding)``."""
        vector = self.time(sinusoids(self.scale * c, self.embedding).to(dtype))
        if y is not None:
            if self.label is None:
                raise Incompatible("the network has no classes: set classes, or leave labels out")
            vector = vector + self.label(y)
        return F.silu(vector)


class Block(nn.Module):
    """A residual block, followed by attention if it ``attends``."""

    def __init__(self, block: Residual, attends: bool) -> None:
        super().__init__()
        self.block = block
        self.attention = Attend(block.last.out_channels) if attends else nn.Identity()

    def forward(self, x: Tensor, conditioning: Tensor) -> Tensor:
        """``(B, outputs, H, W)``, from ``x (B, inputs, H, W)`` and the conditioning."""
        return self.attention(self.block(x, conditioning))


class Stage(nn.Module):
    """One size on the way up: blocks with a skip connection each, attention, and doubling."""

    def __init__(self, blocks: nn.ModuleList, last: nn.Module, grow: Residual | None) -> None:
        super().__init__()
        self.blocks, self.last, self.grow = blocks, last, grow

    def forward(self, x: Tensor, skips: list[Tensor], conditioning: Tensor) -> Tensor:
        """``(B, outputs, *sizes)``, of the size of the last skip connection that is left over.

        Args:
            x: ``(B, inputs, H, W)``.
            skips: skip connections; those that are used are removed from the end of the list.
            conditioning: the vector of time and label.
        """
        for block in self.blocks:
            x = block(torch.cat([x, skips.pop()], 1), conditioning)
        x = self.last(x)
        return x if self.grow is None else self.grow(x, conditioning, skips[-1].shape[2:])
