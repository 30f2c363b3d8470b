"""Volume-preserving autoregressive flows of latents (Kingma et al. 2016; NVAE)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgmkit_autoencoders.nvae_convs import earlier, normed

WIDER = 6
"""Hidden channels for each channel of latents."""


class Shift(nn.Module):
    """``z - m(z)``, where each number of m sees only those of z before it.

    So the Jacobian is triangular with ones on its diagonal. This direction, from the Normal draw to
    the latents, is one pass; its inverse would take a pass for every number, and nothing needs it.

    Args:
        channels: of z.
        mirrored: take numbers from the last to the first.
    """

    def __init__(self, channels: int, mirrored: bool) -> None:
        super().__init__()
        own = torch.arange(channels)
        hidden, one = own.repeat_interleave(WIDER), own[:1]
        wide = WIDER * channels
        sees, follows, tells = (
            earlier(hidden, own, 3, strict=True, mirrored=mirrored),
            earlier(one, one, 5, strict=False, mirrored=mirrored),
            earlier(own, hidden, 1, strict=False, mirrored=mirrored),
        )
        self.enter = normed(channels, wide, 3, mask=sees)
        self.spread = normed(wide, wide, 5, groups=wide, mask=follows)
        self.leave = normed(wide, channels, 1, mask=tells, gain=0.1)

    def forward(self, z: Tensor) -> Tensor:
        """``(B, channels, H, W)``, in the dtype of z."""
        h = z if self.enter.bias is None else z.to(self.enter.bias.dtype)
        return z - self.leave(F.elu(self.spread(F.elu(self.enter(h)))))


def flow(channels: int, pairs: int) -> nn.Sequential:
    """Pairs of shifts, the second of each mirrored; with 0, z as it is."""
    return nn.Sequential(*(Shift(channels, side) for _ in range(pairs) for side in (False, True)))
