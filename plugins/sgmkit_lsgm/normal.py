"""N(0, I) as a prior, as in a plain VAE, in the form of a score-based model."""

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
from sgmkit.processes import Memo, Operator, normal_excess, normal_noise_operator


class Normal(Prior):
    """Latents that are N(0, I) at t = 0, with their exact score under any process.

    Nothing is learned. Solvers and evaluators treat it as any other prior. The probability flow of
    VP leaves every state as it is, so its samples are N(0, I) for every solver and budget.
    """

    trainable = False

    def __init__(self, event: tuple[int, ...], sde: LinearSDE) -> None:
        super().__init__()
        self.event, self.sde, self.t_min = tuple(event), sde, sde.t_min
        self.register_buffer("like", torch.zeros(0))
        self._operators: Memo[float, Operator] = Memo()

    def reverse(self, noise: Noise, y: Tensor | None = None) -> Reverse:
        if y is not None:
            raise BadValue("the prior N(0, I) has no classes; leave the labels out")
        return Reverse(self.sde, self._eps, noise)

    def decode(self, u: Tensor, noise: Noise | None = None) -> Tensor:
        return u[:, 0]

    def loss(self, batch: Batch, noise: Noise, progress: float) -> Loss:
        """Raises `Incompatible`: there is nothing to train."""
        raise Incompatible("N(0, I) has nothing to learn: train the model lsgm:prior=normal")

    def cross_entropy(
        self, z: Tensor, noise: Noise, weight: float | Weigh, *, separate: bool = False
    ) -> CrossEntropy:
        """In closed form, see `sgmkit.processes.cross_entropy.normal_excess`; nothing is drawn."""
        kernel = self.sde.kernel(torch.tensor(self.t_min, dtype=torch.float64))
        excess = normal_excess(kernel, self.sde.data_var(), z)
        nats = excess.detach()
        cost = (excess * (weight(nats) if callable(weight) else weight)).sum()
        return CrossEntropy(nats, gradient_of(cost), {})

    def _eps(self, u: Tensor, t: Tensor) -> Tensor:
        """The driven noise ``L_dd^T [(S + c m m^T)^-1 u]_d``, ``(B, r, *event)``."""
        if t.ndim:
            return torch.einsum("brk,bk...->br...", self._gain(t).to(u), u)
        time = float(t)
        return self._operators.get(time, lambda: self._operator(time))(u)

    def _operator(self, time: float) -> Operator:
        return Operator(self._gain(torch.tensor(time, dtype=torch.float64)).tolist())

    def _gain(self, t: Tensor) -> Tensor:
        """Matrices ``(*t, r, k)`` from states to their expected driven noise."""
        return normal_noise_operator(self.sde.kernel(t), self.sde.driven, self.sde.data_var())
