"""Splitting by phases: exact friction and noise, momenta by the score, positions by momenta."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor
from typing_extensions import Doc

from sgmkit import ClockedSDE, LinearSDE, Reverse, Solver
from sgmkit.processes import (
    Operator,
    as_matrix,
    operators_by_time,
    ou_transition,
    remembered,
    scaled_cholesky,
    score_operator,
)

ScoreTime = Annotated[
    Literal["end", "start"], Doc("time of the score in the step (published: end)")
]


@dataclass(frozen=True)
class OBA(Solver):
    """Friction and noise (O), then momenta (B), then positions (A), on one score in each step.

    This is the reduced splitting of Pandey, Rudolph & Mandt 2024, for any clocked process of two
    phases or more. O is ``du = -B P u / 2 dtau + B^{1/2} dw`` on the driven phases, and is exact.
    The rest of the reverse SDE is one Euler sweep from the last phase to the first, in which each
    phase uses the new values of those before.
    """

    score_time: ScoreTime = "end"

    stochastic = True
    citation = "Pandey, Rudolph & Mandt 2024, sec. 4"

    def supports(self, sde: LinearSDE) -> str | None:
        if sde.phases == 1:
            return "it splits positions from momenta, and there is one phase"
        if not isinstance(sde, ClockedSDE) or not sde.precision:
            return f"{type(sde).__name__} has no equilibrium on a clock to relax to"
        return None

    def solve(self, rev: Reverse, u: Tensor, grid: Tensor) -> Tensor:
        for relax, t, sweep in _table(self, rev.sde, grid):
            u = relax(u, rev.draw(u))
            u = sweep(u, rev.eps(u, t))
        return u


@dataclass(frozen=True)
class BAO(OBA):
    """The splitting of `OBA` in the order momenta, positions, friction and noise."""

    def solve(self, rev: Reverse, u: Tensor, grid: Tensor) -> Tensor:
        for relax, t, sweep in _table(self, rev.sde, grid):
            u = sweep(u, rev.eps(u, t))
            u = relax(u, rev.draw(u))
        return u


@remembered
def _table(solver: OBA, sde: LinearSDE, grid: Tensor) -> list[tuple[Operator, Tensor, Operator]]:
    """For each step: operator O on u and noise, time of the score, and operator of B and A.

    The last one acts on u and eps.
    """
    assert isinstance(sde, ClockedSDE)  # `supports` refuses all others
    r, k = sde.driven, sde.phases
    drift, noise, precision = (
        as_matrix(m, k, grid) for m in (sde.drift_matrix, sde.noise_matrix, sde.precision)
    )
    friction = torch.zeros_like(drift)
    friction[-r:, -r:] = noise[-r:, -r:] @ precision[-r:, -r:] / 2
    clock = -sde.clock(grid).diff()
    keep, spread = ou_transition(-friction, noise, clock)
    at = grid[1:] if solver.score_time == "end" else grid[:-1]
    push = noise[:, -r:] @ score_operator(sde.kernel(at), r)
    rest = friction - drift
    sweep = torch.eye(k, k + r).to(grid).expand(len(at), -1, -1)  # on u and eps
    for phase in reversed(range(k)):
        row = rest[phase] @ sweep[:, :k] + torch.nn.functional.pad(push[:, phase], (k, 0))
        change = clock[:, None] * row
        sweep = sweep.index_add(1, torch.tensor([phase]), change[:, None])
    relax = operators_by_time(keep, scaled_cholesky(spread)[..., -r:])
    return list(zip(relax, at, operators_by_time(sweep), strict=True))
