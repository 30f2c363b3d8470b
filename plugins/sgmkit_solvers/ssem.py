"""Symmetric splitting: exact linear half steps around a score kick."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor
from typing_extensions import Doc

from sgmkit import ClockedSDE, LinearSDE, Reverse, Solver
from sgmkit.linear import as_matrix, combine, operators, ou_transition, scaled_cholesky
from sgmkit.score import score_operator


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
        sde = rev.sde
        assert isinstance(sde, ClockedSDE)
        t, s = grid[:-1], grid[1:]
        middle = (t + s) / 2
        at = t if (self.score_time, self.kick) == ("start", "euler") else middle
        tau_t, tau_m, tau_s = sde.clock(t), sde.clock(middle), sde.clock(s)
        noise = as_matrix(sde.noise_matrix, sde.phases, grid)
        pull = noise @ as_matrix(sde.precision, sde.phases, grid)
        linear = -as_matrix(sde.drift_matrix, sde.phases, grid) - pull
        first, spread = ou_transition(linear, noise, tau_t - tau_m)
        second, spread_2 = ou_transition(linear, noise, tau_m - tau_s)
        clock = (tau_t - tau_s)[:, None, None]
        keep = clock * pull
        push = clock * noise[:, -sde.driven :] @ score_operator(sde.kernel(at), sde.driven)
        unit = torch.eye(sde.phases, dtype=grid.dtype)
        steps = (first, scaled_cholesky(spread), keep / 2 + unit, push / 2)
        if self.kick == "euler":
            steps += (second @ (unit + keep), second @ push)
        else:
            steps += (second, second @ keep, second @ push)
        steps += (scaled_cholesky(spread_2),)
        for now, half, root, keep_half, push_half, *rest, root_2 in zip(
            at, *(operators(m) for m in steps), strict=True
        ):
            u = combine((half, u), (root, rev.noise(u)))
            eps, moved = rev.eps(u, now), u
            if self.kick == "midpoint":
                moved = combine((keep_half, u), (push_half, eps))
                eps = rev.eps(moved, now)
                u = combine((rest[0], u), (rest[1], moved), (rest[2], eps), (root_2, rev.noise(u)))
            else:
                u = combine((rest[0], u), (rest[1], eps), (root_2, rev.noise(u)))
        return u
