"""A residual MLP for vectors, conditioned on the time."""

from typing import Annotated

import torch.nn.functional as F
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn
from typing_extensions import Doc

from sgmkit import BadValue, Network
from sgmkit_networks.blocks import Conditioning, linear


class MLP(Network):
    """Residual blocks of two linear layers for vectors, scaled and shifted by the conditioning.

    There is no norm, because the length of the input says how far it lies from the data. A fresh
    network answers zero.

    Raises:
        BadValue: for shapes that are not ``(D,)``.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        width: Annotated[int, Gt(0), Doc("width of every hidden layer, an even number")] = 128,
        depth: Annotated[int, Gt(0), Doc("number of residual blocks, of two layers each")] = 4,
        dropout: Annotated[
            float, Ge(0), Lt(1), Doc("probability of dropout in residual blocks")
        ] = 0.0,
        classes: Annotated[int, Ge(0), Doc("number of labels; 0 for none")] = 0,
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
        conditioning = self.conditioning(c, y, z.dtype)
        h = self.enter(z)
        for block in self.blocks:
            h = block(h, conditioning)
        return self.leave(F.silu(h))


class Block(nn.Module):
    """SiLU and a linear layer, twice; the conditioning scales and shifts the first result.

    Args:
        width: of input, output and conditioning.
        dropout: probability of dropout before the last layer.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.first = linear(width, width)
        self.add_module("told", linear(width, 2 * width))
        self.dropout = nn.Dropout(dropout)
        self.last = linear(width, width, zero=True)

    @property
    def modulation(self) -> nn.Module:
        """The map from the conditioning to scale and shift; checkpoints have it under "told"."""
        return self._modules["told"]  # type: ignore[return-value]

    def forward(self, x: Tensor, conditioning: Tensor) -> Tensor:
        """``(B, width)``, from ``x (B, width)`` and the conditioning ``(B, width)``."""
        scale, shift = self.modulation(conditioning).chunk(2, 1)
        h = self.first(F.silu(x)) * (1 + scale) + shift
        return x + self.last(self.dropout(F.silu(h)))
