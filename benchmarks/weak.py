"""Weak errors on mixtures without chance in the steps: quadrature noise and exact expectations."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from sgmkit import LinearSDE, Mixture, Noise
from sgmkit.dataset import Batch, Dataset
from sgmkit.errors import Incompatible

if TYPE_CHECKING:
    pass

WAVES = ((1.0, 0.0), (1.0, 0.5), (2.0, 0.3), (3.0, 0.7))
"""Frequency and phase of the cosines among the functions; the fifth is half the square."""


@dataclass(frozen=True)
class Law(Dataset):
    """A mixture, as a data set for the exact model."""

    law: Mixture

    @property
    def event(self) -> tuple[int, ...]:
        return tuple(self.law.means.shape[1:])

    def mixture(self) -> Mixture:
        return self.law

    def size(self, split: str) -> None:
        return None

    def draw(self, split: str, n: int, noise: Noise) -> Batch:
        raise Incompatible("only its law is used")


class StepNoise(Noise):
    """The noise of one step: every quadrature node from every place, then one draw for each place.

    Args:
        draws: of the places; one row each.
        nodes: ``(Q, d)``, a column for each number that one row draws in a step.
        sums: how many draws are added up, over the root of their number, to make one: runs of
            different numbers of steps then share their noise.
    """

    def __init__(self, draws: Noise, nodes: Tensor, sums: int = 1) -> None:
        self.draws, self.nodes, self.sums, self.used = draws, nodes, sums, 0
        self.ids = torch.arange((len(nodes) + 1) * len(draws.ids))

    def __call__(self, like: Tensor) -> Tensor:
        places = len(self.draws.ids)
        last = like[len(like) - places :]
        drawn = torch.stack([self.draws(last) for _ in range(self.sums)]).sum(0)
        drawn /= math.sqrt(self.sums)
        columns = slice(self.used, self.used + like[0].numel())
        self.used = columns.stop
        nodes = self.nodes[:, columns].repeat_interleave(places, 0)
        return torch.cat([nodes.reshape(-1, *like.shape[1:]), drawn])

    def uniform(self, like: Tensor) -> Tensor:
        raise Incompatible("it draws uniform numbers: no quadrature")

    def select(self, index: Tensor) -> Self:
        raise Incompatible("it works on parts of the batch: no quadrature")

    def stream(self, name: str) -> Self:
        return self


class Future:
    """V on a grid: what the exact process expects of the five functions at the grid's end.

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
        """``(5, R)`` from states ``(R, k, 1)`` at the n-th time."""
        state = u[..., 0].T.contiguous()
        apart = torch.matmul(self.whiten[n], state).sub_(self.centre[n])
        logits = self.logits[n, :, None] - apart.square_().sum(1) / 2
        share = logits.sub_(logits.amax(0)).exp_()
        share /= share.sum(0)
        mean, var = self.gain[n] @ state + self.shift[n, :, None], self.var[n, :, None]
        values = [(mean.square() + var) / 2]
        values += [torch.cos(k * mean + phase) * torch.exp(-k * k * var / 2) for k, phase in WAVES]
        return torch.stack([(share * value).sum(0) for value in values])


def first_coordinate(law: Mixture) -> Mixture:
    """Its law; components that become equal are joined."""
    parts = torch.cat([law.means[:, :1], law.variances[:, :1]], 1)
    parts, place = torch.unique(parts.round(decimals=9), dim=0, return_inverse=True)
    weights = law.weights.new_zeros(len(parts)).index_add_(0, place, law.weights)
    return Mixture(weights, parts[:, :1], parts[:, 1:])
