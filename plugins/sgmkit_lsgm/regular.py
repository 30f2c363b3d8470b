"""Spectral regularisation: a penalty on the smoothness of a network.

It is the sum of the largest singular values of convolutions and of the largest gains of
normalisation layers (LSGM, Vahdat et al. 2021, app. G, after NVAE, Vahdat and Kautz 2020, sec.
3.2).
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

FIRST_ITERATIONS, STEP_ITERATIONS = 40, 4
"""Power iterations when the regulariser is made, and at each step of training."""
NORM_EPS = 1e-3
"""Lower limit of the norm by which a singular vector is divided."""
NORMS = (nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm)


class Regulariser(nn.Module):
    """``rate (sum of spectral norms of convolutions + sum of max |gain| of norm layers)``.

    The matrix of a convolution is its ``weight`` as ``(outputs, rest)``. A layer that normalises
    its weights, by ``torch.nn.utils.parametrize``, has the normalised ones there. The largest
    singular values are estimated by power iterations, for all weights of one shape at once, which
    continue from step to step. Their singular vectors are part of the state, so that a resumed
    training takes the same steps.

    Args:
        part: the network to be penalised; it does not become a submodule.
        rate: weight of the penalty.
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
            self._singular_vectors(place, matrices.detach(), FIRST_ITERATIONS)

    def forward(self) -> Tensor:
        """The penalty, ``()``. Each call in training improves the singular vectors."""
        terms = list[Tensor]()
        iterations = STEP_ITERATIONS if self.training else 0
        for place, matrices in enumerate(self._matrices()):
            u, v = self._singular_vectors(place, matrices.detach(), iterations)
            terms.append((u.mT @ matrices @ v).sum())  # u^T W v is the singular value
        terms += [norm.weight.abs().max() for norm in self._norms[0]]
        return self.rate * sum(terms[1:], terms[0]) if terms else torch.zeros(())

    def _singular_vectors(
        self, place: int, matrices: Tensor, iterations: int
    ) -> tuple[Tensor, Tensor]:
        """Singular vectors ``(n, rows, 1)`` and ``(n, columns, 1)`` after more iterations.

        Args:
            place: of the buffer that remembers them.
            matrices: of one shape, ``(n, rows, columns)``.
            iterations: ``v <- W^T u / |W^T u|``, ``u <- W v / |W v|``, so many times.
        """
        with torch.no_grad():
            u = getattr(self, f"u{place}")
            v = nn.functional.normalize(matrices.mT @ u, dim=1, eps=NORM_EPS)
            for _ in range(iterations):
                u = nn.functional.normalize(matrices @ v, dim=1, eps=NORM_EPS)
                v = nn.functional.normalize(matrices.mT @ u, dim=1, eps=NORM_EPS)
            getattr(self, f"u{place}").copy_(u)
        return u.clone(), v

    def _matrices(self) -> Iterator[Tensor]:
        """Weights of convolutions as matrices ``(n, outputs, rest)``, stacked by shape."""
        by_shape: dict[tuple[int, ...], list[Tensor]] = {}
        for conv in self._convs[0]:
            weight = conv.weight.flatten(1)
            by_shape.setdefault(tuple(weight.shape), []).append(weight)
        for same in by_shape.values():
            yield torch.stack(same)
