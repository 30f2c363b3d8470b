"""Symmetric splitting: exact linear half steps around a step by the score."""

from collections.abc import Sequence
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
    stacked_factor,
)


@dataclass(frozen=True)
class SSEM(Solver):
    """Strang splitting of the reverse SDE into an Ornstein-Uhlenbeck part and a score kick.

    With P the precision of the stationary law, part A is ``du = -(A + B P) u dtau + B^{1/2} dw``,
    which is exact, and part S is ``du = B (s + P u) dtau``, an Euler step with one network call. A
    step is half A, full S, half A. On CLD it is SSCS (Dockhorn et al. 2022, sec. 3.3), with each
    half step over its own interval of the clock; any other clocked process has it too. With an
    explicit midpoint rule for S (two calls) it is of second order, but unstable on VE and EDM where
    a step raises the variance manyfold.
    """

    score_time: Annotated[
        Literal["start", "midpoint"], Doc("time of the score in the step (published: start)")
    ] = "start"
    kick: Annotated[
        Literal["euler", "midpoint"],
        Doc("rule for S; midpoint takes two calls, the score time midpoint, and is second order"),
    ] = "euler"

    stochastic = True
    citation = "Dockhorn, Vahdat & Kreis 2022, sec. 3.3"

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
        half, steps = _table(self, rev.sde, grid, rev.noise.recorded)
        u = half(u, rev.noise(u))
        for step in steps:
            parts = [u, rev.eps(u, step.now)]
            if step.kick:
                moved = step.kick(*parts)
                parts = [u, moved, rev.eps(moved, step.now)]
            u = step.move(*parts, *(rev.noise(u) for _ in range(step.draws)))
        return u


@dataclass(frozen=True)
class _Step:
    """A score kick and the linear half steps after it.

    Args:
        now: time of the score.
        kick: operator on u and eps that gives the middle of the midpoint rule; None for Euler.
        move: operator on u, (the middle,) eps and the draws that gives the next state.
        draws: how many fields of normal numbers ``move`` takes.
    """

    now: Tensor
    kick: Operator | None
    move: Operator
    draws: int


@remembered
def _table(
    solver: SSEM, sde: ClockedSDE, grid: Tensor, apart: bool
) -> tuple[Operator, list[_Step]]:
    """The first half step, an operator on u and noise, and the steps that follow it.

    After a kick come its own second half step and the first half step of the next kick. Both are
    exact steps of one linear process, so that one draw serves for both, unless noise is a recording
    whose draws must be taken ``apart``.
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
    kicks: Sequence[Operator | None] = [None] * len(t)
    moves = [after @ (unit + keep), after @ push]
    if solver.kick == "midpoint":
        kicks = operators_by_time(unit + keep / 2, push / 2)
        moves = [after, after @ keep, after @ push]
    own, other = following @ root_2, torch.cat([root[1:], 0 * root[:1]])
    roots = [own, other] if apart else [stacked_factor(own, other)]
    draws = [len(roots)] * len(t)
    steps = operators_by_time(*moves, *roots)
    if apart:  # the last step has no neighbour, and nothing was recorded for one
        draws[-1] = 1
        steps[-1] = operators_by_time(*(m[-1:] for m in (*moves, own)))[0]
    start = operators_by_time(first[:1], root[:1])[0]
    return start, [_Step(*row) for row in zip(at, kicks, steps, draws, strict=True)]
