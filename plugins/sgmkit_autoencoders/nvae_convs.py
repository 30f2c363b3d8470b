"""Convolutions with weight normalisation, and the masks that make them autoregressive."""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

TINY, START = 1e-5, 0.01


class Normalised(nn.Module):
    """Weights of given lengths: ``w = exp(s) v / (|v| + 1e-5)`` for each output channel.

    As in Salimans and Kingma (2016), with the logarithm of the length as in NVAE (Vahdat and Kautz
    2020). At first s is ``log(|v| + 0.01)``.

    Args:
        v: ``(outputs, inputs, height, width)``; nothing is kept of it but lengths.
        mask: where v may differ from zero, bool, broadcast against v; None for everywhere.
    """

    mask: Tensor | None

    def __init__(self, v: Tensor, mask: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("mask", mask)
        self.log_length = nn.Parameter((_length(self._masked(v.detach())) + START).log())

    def forward(self, v: Tensor) -> Tensor:
        """w, of the shape of v."""
        v = self._masked(v)
        return self.log_length.exp() * v / (_length(v) + TINY)

    def _masked(self, v: Tensor) -> Tensor:
        return v if self.mask is None else v * self.mask


def normed(
    inputs: int,
    outputs: int,
    size: int = 3,
    stride: int = 1,
    groups: int = 1,
    mask: Tensor | None = None,
    gain: float = 1.0,
) -> nn.Conv2d:
    """A convolution with weight normalisation that keeps height and width, at stride 1.

    It is a plain ``nn.Conv2d`` whose ``weight`` is the *effective* one, ``w`` above, for whoever
    reads it: a regulariser of singular values finds it there, as in any convolution. It is computed
    at each reading, or once within ``torch.nn.utils.parametrize.cached()``. What is trained are
    ``parametrizations.weight.original`` (v) and ``parametrizations.weight[0].log_length`` (s).

    Args:
        mask: where weights may differ from zero, bool.
        gain: of the initial weights.
    """
    layer = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups)
    with torch.no_grad():
        layer.weight.mul_(gain)
    register_parametrization(layer, "weight", Normalised(layer.weight, mask))
    return layer


def earlier(
    outputs: Tensor, inputs: Tensor, size: int, strict: bool, mirrored: bool = False
) -> Tensor:
    """Where the weights of an autoregressive convolution may be: bool ``(n, m, size, size)``.

    The order is that of reading: rows, places in a row, then channels of one place. Mirrored, it
    is the other way round.

    Args:
        outputs: the channel that each output belongs to, ``(n,)``.
        inputs: the channel that each input tells of, ``(m,)``.
        size: of the kernel, odd.
        strict: whether an output may not see its own channel at its own place.
    """
    place, centre = torch.arange(size * size).view(1, 1, size, size), size * size // 2
    a, b = outputs[:, None, None, None], inputs[None, :, None, None]
    if mirrored:
        place, a, b = place.flip(2, 3), -a, -b
    return (place < centre) | ((place == centre) & ((b < a) if strict else (b <= a)))


def _length(v: Tensor) -> Tensor:
    """``(outputs, 1, 1, 1)``."""
    return torch.linalg.vector_norm(v, dim=(1, 2, 3), keepdim=True)
