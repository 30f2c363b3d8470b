"""Convolutions with weight normalisation, and masks that make them autoregressive."""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

LENGTH_EPS, INITIAL_OFFSET = 1e-5, 0.01


class Normalised(nn.Module):
    """Weight normalisation, ``w = exp(s) v / (|v| + 1e-5)`` for each output channel.

    As in Salimans and Kingma (2016), with the logarithm s of the length as the parameter, as in
    NVAE (Vahdat and Kautz 2020). Initially s is ``log(|v| + 0.01)``.

    Args:
        v: initial weights, ``(outputs, inputs, height, width)``; only their lengths are used.
        mask: where v may differ from zero, bool, broadcast against v; None: everywhere.
    """

    mask: Tensor | None

    def __init__(self, v: Tensor, mask: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("mask", mask)
        self.log_length = nn.Parameter((_length(self._masked(v.detach())) + INITIAL_OFFSET).log())

    def forward(self, v: Tensor) -> Tensor:
        """w, of the shape of v."""
        v = self._masked(v)
        return self.log_length.exp() * v / (_length(v) + LENGTH_EPS)

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
    """A convolution with weight normalisation; at stride 1 it keeps height and width.

    It is a plain ``nn.Conv2d`` whose attribute ``weight`` is the normalised w of `Normalised`, so
    that a regulariser of singular values reads the weights that act. It is computed each time it is
    read, or once within ``torch.nn.utils.parametrize.cached()``. The trained parameters are
    ``parametrizations.weight.original`` (v) and ``parametrizations.weight[0].log_length`` (s).

    Args:
        mask: where weights may differ from zero, bool.
        gain: factor of the initial weights.
    """
    layer = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups)
    with torch.no_grad():
        layer.weight.mul_(gain)
    register_parametrization(layer, "weight", Normalised(layer.weight, mask))
    return layer


def autoregressive_mask(
    outputs: Tensor, inputs: Tensor, size: int, strict: bool, mirrored: bool = False
) -> Tensor:
    """Where an autoregressive convolution may have weights: bool ``(n, m, size, size)``.

    An output sees only earlier inputs. Pixels are ordered by rows, then by place in the row, and
    the channels within a pixel by number.

    Args:
        outputs: number of the latent channel that each output belongs to, ``(n,)``.
        inputs: number of the latent channel that each input depends on, ``(m,)``.
        size: of the kernel, odd.
        strict: whether an output must not see its own channel at its own pixel.
        mirrored: whether the order is reversed.
    """
    place, centre = torch.arange(size * size).view(1, 1, size, size), size * size // 2
    a, b = outputs[:, None, None, None], inputs[None, :, None, None]
    if mirrored:
        place, a, b = place.flip(2, 3), -a, -b
    return (place < centre) | ((place == centre) & ((b < a) if strict else (b <= a)))


def _length(v: Tensor) -> Tensor:
    """``(outputs, 1, 1, 1)``."""
    return torch.linalg.vector_norm(v, dim=(1, 2, 3), keepdim=True)
