"""Predictor and corrector of Score-SDE."""

from dataclasses import dataclass
from typing import Annotated, Literal, cast

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from typing_extensions import Doc

from sgmkit import LinearSDE, Reverse, Solver
from sgmkit.processes import Operator, operators_by_time, remembered
from sgmkit.solvers import Scheme, advance, table

Corrector = Literal["langevin", "annealed"]
PREDICTOR = cast(Scheme, "solvers/reverse-diffusion")  # a name, of which the registry makes one


@dataclass(frozen=True)
class PredictorCorrector(Solver):
    """Langevin steps at each noise level, then a predictor's step to the next (Song et al. 2021).

    Of the driven phases alone, given the others, for any process: their law is left as it is. The
    step is ``2 a (snr |z|/|s|)^2`` (``langevin``), or with the noise's deviation in place of
    ``|z|/|s|`` (``annealed``); a is the contraction of the next step. Norms are each
    sample's own; the published ones are means over the batch. In few dimensions ``langevin`` is
    then biased: where the score is small, steps are wild. Steps of Langevin dynamics that do not
    shrink with the grid leave an error that does not either: hence order zero.
    """

    predictor: Scheme = PREDICTOR
    corrector: Annotated[Corrector, Doc("rule for the size of the Langevin step")] = "annealed"
    snr: Annotated[float, Gt(0), Doc("signal-to-noise ratio of a Langevin step")] = 0.16
    corrections: Annotated[int, Ge(1), Doc("Langevin steps at each noise level")] = 1
    norms: Annotated[
        Literal["sample", "batch"], Doc("norms of each sample, or their means over the batch")
    ] = "sample"

    order = 0
    stochastic = True
    citation = "Song et al. 2021, alg. 1 to 5"

    @property
    def cost(self) -> int:
        return self.predictor.cost + self.corrections

    @property
    def coupled(self) -> bool:
        return self.norms == "batch" and self.corrector == "langevin"

    def supports(self, sde: LinearSDE) -> str | None:
        return self.predictor.supports(sde)

    def solve(self, rev: Reverse, u: Tensor, grid: Tensor) -> Tensor:
        rows = zip(grid, levels(rev.sde, grid), table(self.predictor, rev.sde, grid), strict=False)
        for t, level, step in rows:
            for _ in range(self.corrections):
                u = self.correct(rev, u, t, level)
            u, _ = advance(rev, u, step)
        return u

    def correct(self, rev: Reverse, u: Tensor, t: Tensor, level: "Level") -> Tensor:
        """One Langevin step at time t, ``(B, k, *event)``; one call."""
        push, kick = level.push(rev.eps(u, t)), level.kick(rev.draw(u))
        if self.corrector == "annealed":
            ratio = u.new_ones(())
        else:
            ratio = self._norm(kick) / self._norm(push)
        size = 2 * level.contraction * (self.snr * ratio).square()
        moved = u.clone()
        moved[:, -rev.sde.driven :] += size * push + (2 * size).sqrt() * kick
        return moved

    def _norm(self, v: Tensor) -> Tensor:
        """Norm of each sample, ``(B, 1, ...)``, or their mean over the batch."""
        norm = torch.linalg.vector_norm(v.flatten(1), dim=1).reshape(-1, *([1] * (v.ndim - 1)))
        return norm if self.norms == "sample" else norm.mean()


@dataclass(frozen=True)
class Level:
    """What a Langevin step at one time needs.

    Args:
        contraction: of the data by the step that follows.
        push: the score on eps, and the noise of the step, ``(r, r)`` each, both in units of the
            driven phases' own spread: for one phase that changes nothing but the size's unit.
    """

    contraction: float
    push: Operator
    kick: Operator


@remembered
def levels(sde: LinearSDE, grid: Tensor) -> list[Level]:
    """One for each step."""
    t, r = grid[:-1], sde.driven
    factor = sde.kernel(t).chol[..., -r:, -r:]
    shrink = sde.transition(grid[1:], t)[0].det().abs().pow(2 / sde.phases).tolist()
    return [
        Level(*row)
        for row in zip(shrink, operators_by_time(-factor), operators_by_time(factor), strict=True)
    ]
