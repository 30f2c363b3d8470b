"""Exact expectations of five smooth functions at the end, from any state before it."""

import torch
from torch import Tensor

from sgmkit.data import Mixture
from sgmkit.processes import LinearSDE

WAVES = ((1.0, 0.0), (1.0, 0.5), (2.0, 0.3), (3.0, 0.7))
"""Frequency and phase of four cosines; the fifth function is half the square."""
FUNCTIONS = 1 + len(WAVES)


class Future:
    """``V(u, t) = E[f(x_end) | u_t = u]`` of the exact reverse SDE, for the five functions f.

    Within a component of the mixture the state and the end are jointly normal, so that the
    expectations are in closed form (Talay & Tubaro 1990 is what they serve for; see `weak`).

    Args:
        sde: the process, k phases.
        law: a mixture of J components in one coordinate.
        grid: ``(steps + 1,)`` times.
    """

    def __init__(self, sde: LinearSDE, law: Mixture, grid: Tensor) -> None:
        now, end, means = sde.kernel(grid), sde.kernel(grid[-1]), law.means[:, 0]
        at_end = end.cov + law.variances[..., None] * end.mean[:, None] * end.mean
        spread = law.variances[..., None] * (now.mean[:, None, :, None] * now.mean[:, None, None])
        cross = at_end @ sde.transition(grid[-1].expand_as(grid), grid)[0][:, None].mT
        factor = torch.linalg.cholesky(now.cov[:, None] + spread)
        centre = now.mean[:, None] * means[:, None]
        self.gain = torch.cholesky_solve(cross[..., 0, :, None], factor)[..., 0]
        self.var = (at_end[:, 0, 0] - (self.gain * cross[..., 0, :]).sum(-1)).clamp_min(0)
        self.shift = end.mean[0] * means - (self.gain * centre).sum(-1)
        self.whiten = torch.linalg.inv(factor)
        self.centre = self.whiten @ centre[..., None]
        self.logits = law.weights.log() - factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def __call__(self, u: Tensor, n: int) -> Tensor:
        """``V``, ``(5, R)``, of states ``(R, k, 1)`` at the n-th time of the grid."""
        state = u[..., 0].T.contiguous()
        apart = torch.matmul(self.whiten[n], state).sub_(self.centre[n])
        logits = self.logits[n, :, None] - apart.square_().sum(1) / 2
        share = logits.sub_(logits.amax(0)).exp_()
        share /= share.sum(0)
        # E[x_end | u] and its variance within each component; share is the component's posterior
        mean, var = self.gain[n] @ state + self.shift[n, :, None], self.var[n, :, None]
        values = [(mean.square() + var) / 2]
        values += [torch.cos(k * mean + phase) * torch.exp(-k * k * var / 2) for k, phase in WAVES]
        return torch.stack([(share * value).sum(0) for value in values])
