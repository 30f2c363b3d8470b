"""Symmetric splitting: exact linear half steps around a score kick."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor
from typing_extensions import Doc

from sgmkit import ClockedSDE, LinearSDE, Reverse, Solver
from sgmkit.linear import (
    Operator,
    as_matrix,
    combine,
    operators,
    ou_transition,
    scaled_cholesky,
    stacked_factor,
)
from sgmkit.score import score_operator
from sgmkit.tables import tabled


@dataclass(frozen=True)
class SSEM(Solver):
    """Strang splitting of the reverse SDE into an Ornstein-Uhlenbeck part and a score kick.

    With P the precision of the stationary law: A is ``du = -(A + B P) u dtau + B^{1/2} dw``, exact;
    S is ``du = B (s + P u) dtau``, Euler, one network call; half A, full S, half A. On CLD it is
    SSCS (Dockhorn et al. 2022, sec. 3.3), with each half step on its own clock interval; on VP and
    VE it comes free. An explicit midpoint kick (two calls) makes it second order, and unstable on
    VE and EDM where a step raises the variance manyfold.
    """

    score_time: Annotated[
        Literal["start", "midpoint"], Doc("time given to the score (published: start)")
    ] = "start"
    kick: Annotated[
        Literal["euler", "midpoint"],
        Doc("rule for S; midpoint takes two calls, the score time midpoint, and is second order"),
    ] = "euler"

    stochastic = True

    @property
    def order(self) -> int:
        return 2 if self.kick == "midpoint" else 1

    @property
    def cost(self) -> int:
        return 2 if self.kick == "midpoint" else 1

    def supports(self, sde: LinearSDE) -> str | None:
        if isinstance(sde, ClockedSDE):
            return None
        return f"ssem needs constant matrices on a clock, which {type(sde).__name__} has not"

    def solve(self, rev: Reverse, u: Tensor, grid: Tensor) -> Tensor:
        assert isinstance(rev.sde, ClockedSDE)
        half, root, steps = _table(self, rev.sde, grid, rev.noise.recorded)
        u = combine((half, u), (root, rev.noise(u)))
        for step in steps:
            parts = [u, rev.eps(u, step.now)]
            if step.kick:
                moved = combine(*zip(step.kick, parts, strict=True))
                parts = [u, moved, rev.eps(moved, step.now)]
            parts += [rev.noise(u) for _ in step.roots]
            u = combine(*zip((*step.moves, *step.roots), parts, strict=True))
        return u


@dataclass(frozen=True)
class _Step:
    """One kick and the linear steps after it: operators on u, eps (and what moved) and noise."""

    now: Tensor
    kick: tuple[Operator, ...]
    moves: tuple[Operator, ...]
    roots: tuple[Operator, ...]


@tabled
def _table(
    solver: SSEM, sde: ClockedSDE, grid: Tensor, apart: bool
) -> tuple[Operator, Operator, list[_Step]]:
    """Operators of the first half step on u and noise, and all that follows it.

    After a kick come its own second half step and the first one of the next: exact steps of one
    linear process, so that one draw serves both, unless they are to be drawn ``apart``.
    """
    t, s = grid[:-1], grid[1:]
    middle = (t + s) / 2
    at = t if (solver.score_time, solver.kick) == ("start", "euler") else middle
    tau_t, tau_m, tau_s = sde.clock(t), sde.clock(middle), sde.clock(s)
    noise = as_matrix(sde.noise_matrix, sde.phases, grid)
    pull = noise @ as_matrix(sde.precision, sde.phases, grid)
    linear = -as_matrix(sde.drift_matrix, sde.phases, grid) - pull
    first, spread = ou_transition(linear, noise, tau_t - tau_m)
    second, spread_2 = ou_transition(linear, noise, tau_m - tau_s)
    root, root_2 = scaled_cholesky(spread), scaled_cholesky(spread_2)
    unit, clock = torch.eye(sde.phases, dtype=grid.dtype), (tau_t - tau_s)[:, None, None]
    keep = clock * pull
    push = clock * noise[:, -sde.driven :] @ score_operator(sde.kernel(at), sde.driven)
    following = torch.cat([first[1:], unit[None]])  # nothing follows the last step
    after = following @ second
    kicks, moves = [], [after @ (unit + keep), after @ push]
    if solver.kick == "midpoint":
        kicks, moves = [unit + keep / 2, push / 2], [after, after @ keep, after @ push]
    own, other = following @ root_2, torch.cat([root[1:], 0 * root[:1]])
    roots = [own, other] if apart else [stacked_factor(own, other)]
    columns = [_rows(part, len(t)) for part in (kicks, moves, roots)]
    if apart:
        columns[2][-1] = columns[2][-1][:1]
    steps = [_Step(*row) for row in zip(at, *columns, strict=True)]
    return operators(first[:1])[0], operators(root[:1])[0], steps


def _rows(matrices: Sequence[Tensor], count: int) -> list[tuple[Operator, ...]]:
    """The operators of each step, from matrices ``(count, ., .)``."""
    columns = [operators(matrix) for matrix in matrices]
    return [tuple(column[n] for column in columns) for n in range(count)]
