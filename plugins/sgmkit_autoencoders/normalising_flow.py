"""Volume-preserving autoregressive normalising flows of latents (Kingma et al. 2016; NVAE)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgmkit_autoencoders.nvae_convs import autoregressive_mask, normed

WIDER = 6
"""Hidden channels for each channel of latents."""


class Shift(nn.Module):
    """``z - m(z)``, where each entry of m depends only on the entries of z before it.

    So the Jacobian is triangular with ones on its diagonal, and the volume is preserved. This
    direction, from the Normal draw to the latents, takes one pass. The inverse would take a pass
    for every entry; nothing needs it.

    Args:
        channels: of z.
        mirrored: whether the order of the entries is reversed.
    """

    def __init__(self, channels: int, mirrored: bool) -> None:
        super().__init__()
        own = torch.arange(channels)
        hidden, one = own.repeat_interleave(WIDER), own[:1]
        wide = WIDER * channels
        enter, spread, leave = (
            autoregressive_mask(hidden, own, 3, strict=True, mirrored=mirrored),
            autoregressive_mask(one, one, 5, strict=False, mirrored=mirrored),
            autoregressive_mask(own, hidden, 1, strict=False, mirrored=mirrored),
        )
        self.enter = normed(channels, wide, 3, mask=enter)
        self.spread = normed(wide, wide, 5, groups=wide, mask=spread)
        self.leave = normed(wide, channels, 1, mask=leave, gain=0.1)

    def forward(self, z: Tensor) -> Tensor:
        """``(B, channels, H, W)``, in the dtype of z."""
        h = z if self.enter.bias is None else z.to(self.enter.bias.dtype)
        return z - self.leave(F.elu(self.spread(F.elu(self.enter(h)))))


def normalising_flow(channels: int, pairs: int) -> nn.Sequential:
    """Pairs of shifts, the second of each mirrored; with 0 pairs the identity."""
    orders = (False, True)
    return nn.Sequential(*(Shift(channels, mirrored) for _ in range(pairs) for mirrored in orders))
