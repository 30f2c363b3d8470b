"""Smoothness of a network as a penalty: its convolutions' largest singular values and norm gains.

LSGM, Vahdat et al. 2021, app. G, after NVAE (Vahdat and Kautz 2020, sec. 3.2).
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

FIRST, AGAIN = 40, 4
"""Power iterations at first, and at each step."""
TINY = 1e-3
NORMS = (nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm)


class Regulariser(nn.Module):
    """``rate`` times the sum of spectral norms of convolutions and of largest gains of norms.

    A convolution counts as the matrix ``(outputs, rest)`` of its ``weight``: a layer that
    normalises its weights gives the normalised ones there, as ``torch.nn.utils.parametrize`` does.
    Singular vectors are found by power iterations that go on from step to step, over all weights of
    one shape at once; they are part of the state, so that a training that resumes is the same.

    Args:
        part: whose modules are looked at; it stays where it is.
        rate: of the penalty.
    """

    def __init__(self, part: nn.Module, rate: float) -> None:
        super().__init__()
        self.rate = rate
        kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
        self._convs = [[m for m in part.modules() if isinstance(m, kinds)]]
        self._norms = [[m for m in part.modules() if isinstance(m, NORMS) and m.weight is not None]]
        for place, matrices in enumerate(self._matrices()):
            count, rows, _ = matrices.shape
            start = nn.init.normal_(matrices.new_empty(count, rows, 1))
            self.register_buffer(f"u{place}", nn.functional.normalize(start, dim=1))
            self._turn(place, matrices.detach(), FIRST)

    def forward(self) -> Tensor:
        """The penalty, ``()``; each call in training improves the singular vectors."""
        total = torch.zeros(())
        for place, matrices in enumerate(self._matrices()):
            u, v = self._turn(place, matrices.detach(), AGAIN if self.training else 0)
            total = total.to(matrices) + (u.mT @ matrices @ v).sum()
        for norm in self._norms[0]:
            total = total.to(norm.weight) + norm.weight.abs().max()
        return self.rate * total

    def _turn(self, place: int, matrices: Tensor, times: int) -> tuple[Tensor, Tensor]:
        """Singular vectors, ``(n, rows, 1)`` and ``(n, columns, 1)``, some iterations on."""
        with torch.no_grad():
            u = getattr(self, f"u{place}")
            v = nn.functional.normalize(matrices.mT @ u, dim=1, eps=TINY)
            for _ in range(times):
                u = nn.functional.normalize(matrices @ v, dim=1, eps=TINY)
                v = nn.functional.normalize(matrices.mT @ u, dim=1, eps=TINY)
            getattr(self, f"u{place}").copy_(u)
        return u.clone(), v

    def _matrices(self) -> Iterator[Tensor]:
        """Weights ``(n, outputs, rest)``, those of one shape together."""
        found: dict[tuple[int, ...], list[Tensor]] = {}
        for conv in self._convs[0]:
            weight = conv.weight.flatten(1)
            found.setdefault(tuple(weight.shape), []).append(weight)
        for same in found.values():
            yield torch.stack(same)
