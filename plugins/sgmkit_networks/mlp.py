"""A residual MLP for vectors that is told the time."""

from typing import Annotated

import torch.nn.functional as F
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn
from typing_extensions import Doc

from sgmkit import BadValue, Network
from sgmkit_networks.blocks import Conditioning, linear


class MLP(Network):
    """Residual blocks of two linear maps, scaled and shifted by the time, for vectors.

    There is no norm: the length of the input tells how far from the data it lies. A fresh network
    answers zero.

    Raises:
        BadValue: for shapes that are not ``(D,)``.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        width: Annotated[int, Gt(0), Doc("of every hidden layer, even")] = 128,
        depth: Annotated[int, Gt(0), Doc("residual blocks, two layers each")] = 4,
        dropout: Annotated[float, Ge(0), Lt(1), Doc("probability, in residual blocks")] = 0.0,
        classes: Annotated[int, Ge(0), Doc("number of labels; 0: none")] = 0,
    ) -> None:
        super().__init__(in_shape, out_shape)
        for name, shape in (("in_shape", self.in_shape), ("out_shape", self.out_shape)):
            if len(shape) != 1:
                raise BadValue(f"{name} must be (numbers,), not {shape}: try unet for images")
        if width % 2:
            raise BadValue(f"width = {width} is odd: cosines and sines of the time come in pairs")
        self.classes = classes
        self.conditioning = Conditioning(width, width, classes)
        self.enter = linear(in_shape[0], width)
        self.blocks = nn.ModuleList(Block(width, dropout) for _ in range(depth))
        self.leave = linear(width, out_shape[0], zero=True)

    def forward(self, z: Tensor, c: Tensor, y: Tensor | None = None) -> Tensor:
        told = self.conditioning(c, y, z.dtype)
        h = self.enter(z)
        for block in self.blocks:
            h = block(h, told)
        return self.leave(F.silu(h))


class Block(nn.Module):
    """SiLU and a linear map, twice; the conditioning scales and shifts the first result.

    Args:
        width: of input, output and conditioning.
        dropout: probability, before the last map.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.first = linear(width, width)
        self.told = linear(width, 2 * width)
        self.dropout = nn.Dropout(dropout)
        self.last = linear(width, width, zero=True)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """``(B, width)``, from ``x (B, width)`` and the conditioning ``(B, width)``."""
        scale, shift = self.told(told).chunk(2, 1)
        h = self.first(F.silu(x)) * (1 + scale) + shift
        return x + self.last(self.dropout(F.silu(h)))
