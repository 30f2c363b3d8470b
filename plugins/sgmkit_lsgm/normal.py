"""N(0, I) as a prior: what a plain VAE has, and what solvers and evaluators can treat alike."""

import torch
from torch import Tensor

from sgmkit import (
    BadValue,
    Batch,
    CrossEntropy,
    Incompatible,
    LinearSDE,
    Loss,
    Noise,
    Prior,
    Reverse,
)
from sgmkit.models import Weigh, gradient_of
from sgmkit.processes import Operator, normal_excess, normal_noise_operator


class Normal(Prior):
    """Latents whose total is N(0, 1) at t = 0, with the exact score of any process.

    Nothing is learned. A probability flow on VP leaves its start as it is, so that samples are
    those of N(0, I) for every solver and budget.
    """

    trainable = False

    def __init__(self, event: tuple[int, ...], sde: LinearSDE) -> None:
        super().__init__()
        self.event, self.sde, self.t_min = tuple(event), sde, sde.t_min
        self.register_buffer("like", torch.zeros(0))
        self._recent: dict[float, Operator] = {}

    def reverse(self, noise: Noise, y: Tensor | None = None) -> Reverse:
        if y is not None:
            raise BadValue("the prior N(0, I) has no classes; leave the labels out")
        return Reverse(self.sde, self._eps, noise)

    def decode(self, u: Tensor, noise: Noise | None = None) -> Tensor:
        return u[:, 0]

    def loss(self, batch: Batch, noise: Noise, progress: float) -> Loss:
        """Nothing to train by itself: a complaint."""
        raise Incompatible("N(0, I) has nothing to learn: train the model lsgm:prior=normal")

    def cross_entropy(
        self, z: Tensor, noise: Noise, weight: float | Weigh, *, separate: bool = False
    ) -> CrossEntropy:
        """In closed form, see `sgmkit.processes.cross_entropy.normal_excess`; nothing is drawn."""
        kernel = self.sde.kernel(torch.tensor(self.t_min, dtype=torch.float64))
        excess = normal_excess(kernel, self.sde.data_var(), z)
        told = excess.detach()
        cost = (excess * (weight(told) if callable(weight) else weight)).sum()
        return CrossEntropy(told, gradient_of(cost), {})

    def _eps(self, u: Tensor, t: Tensor) -> Tensor:
        if t.ndim:
            gain = normal_noise_operator(self.sde.kernel(t), self.sde.driven, self.sde.data_var())
            return torch.einsum("brk,bk...->br...", gain.to(u), u)
        if (key := float(t)) not in self._recent:
            time = torch.tensor(key, dtype=torch.float64)
            kernel = self.sde.kernel(time)
            gain = normal_noise_operator(kernel, self.sde.driven, self.sde.data_var())
            self._recent[key] = Operator(gain.tolist())
        return self._recent[key](u)
