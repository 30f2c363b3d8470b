"""Score-SDE's predictor and Langevin corrector."""

from dataclasses import dataclass
from typing import Annotated, Literal, cast

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from typing_extensions import Doc

from sgmkit import LinearSDE, Reverse, Solver
from sgmkit.processes import Operator, operators_by_time, over_event, remembered
from sgmkit.solvers import OneStepSolver

Corrector = Literal["langevin", "annealed"]
PREDICTOR = cast(OneStepSolver, "solvers/reverse-diffusion")
"""The name of a component: the registry builds the solver from it."""


@dataclass(frozen=True)
class PredictorCorrector(Solver):
    """Langevin steps at each noise level, then a predictor's step to the next (Song et al. 2021).

    Langevin steps move the driven phases alone, given the others, which leaves the law of any
    process as it is. Their size is ``2 a (snr |z| / |s|)^2`` for ``langevin``; ``annealed`` has the
    deviation of the noise in place of ``|z| / |s|``. Here a is the contraction of the data by the
    step that follows. Norms are each sample's own, where the paper takes means over the batch. In
    few dimensions ``langevin`` is then biased, because steps are very long where the score is
    small. Langevin steps do not shrink with the grid, and neither does their error: the order is
    zero.
    """

    predictor: OneStepSolver = PREDICTOR
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
        if self.predictor.history:
            return "a predictor cannot build on earlier steps, which corrections come between"
        return self.predictor.supports(sde)

    def solve(self, rev: Reverse, u: Tensor, grid: Tensor) -> Tensor:
        moves = self.predictor.moves(rev, grid)
        for t, level, predict in zip(grid[:-1], levels(rev.sde, grid), moves, strict=True):
            for _ in range(self.corrections):
                u = self.correct(rev, u, t, level)
            u = predict(u)
        return u

    def correct(self, rev: Reverse, u: Tensor, t: Tensor, level: "Level") -> Tensor:
        """One Langevin step at time t, ``(B, k, *event)``; one network call.

        ``u_d + size s + (2 size)^{1/2} z`` in units of the driven phases' deviation.
        """
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
        norm = over_event(torch.linalg.vector_norm(v.flatten(1), dim=1), v)
        return norm if self.norms == "sample" else norm.mean()


@dataclass(frozen=True)
class Level:
    """What a Langevin step at one time needs.

    Args:
        contraction: of the data by the step that follows.
        push: operator from eps to the score, in units of the driven phases' deviation.
        kick: operator from normal numbers to the noise of the step, in the same units.
    """

    contraction: float
    push: Operator
    kick: Operator


@remembered
def levels(sde: LinearSDE, grid: Tensor) -> list[Level]:
    """The level of each step of ``grid``."""
    t, r = grid[:-1], sde.driven
    factor = sde.kernel(t).chol[..., -r:, -r:]
    shrink = sde.transition(grid[1:], t)[0].det().abs().pow(2 / sde.phases).tolist()
    return [
        Level(*row)
        for row in zip(shrink, operators_by_time(-factor), operators_by_time(factor), strict=True)
    ]
