"""Adaptive Runge-Kutta pairs."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt
from torch import Tensor
from typing_extensions import Doc

from sgmkit import Reverse, Solver
from sgmkit.solvers import BOGACKI_SHAMPINE, DORMAND_PRINCE, integrate


@dataclass(frozen=True)
class RK45(Solver):
    """Dormand-Prince 5(4) on the probability flow, with each sample's own steps.

    Dormand & Prince 1980; step control after Hairer, Norsett & Wanner 1993, II.4. A sample does
    not depend on its neighbours, and its evaluations are counted for it alone.
    """

    rtol: Annotated[float, Gt(0), Doc("relative tolerance")] = 1e-3
    atol: Annotated[float, Gt(0), Doc("absolute tolerance")] = 1e-3

    order = 5
    cost = 6
    adaptive = True
    citation = "Dormand & Prince 1980; Hairer, Norsett & Wanner 1993, II.4"
    pair = DORMAND_PRINCE

    def solve(self, rev: Reverse, u: Tensor, grid: Tensor) -> Tensor:
        ends = float(grid[0]), float(grid[-1])
        tolerances = self.rtol, self.atol
        return integrate(
            lambda rows: rev.select(rows).velocity, u, *ends, *tolerances, pair=self.pair
        )


@dataclass(frozen=True)
class RK23(RK45):
    """Bogacki-Shampine 3(2) on the probability flow, with each sample's own steps.

    Three calls a step: for tolerances above 1e-2 or so it is the cheaper one.
    """

    order = 3
    cost = 3
    citation = "Bogacki & Shampine 1989; Hairer, Norsett & Wanner 1993, II.4"
    pair = BOGACKI_SHAMPINE
