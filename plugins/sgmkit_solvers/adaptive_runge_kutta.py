"""Adaptive Runge-Kutta pairs on the probability flow."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt
from torch import Tensor
from typing_extensions import Doc

from sgmkit import Reverse, Solver
from sgmkit.solvers import BOGACKI_SHAMPINE, DORMAND_PRINCE, integrate


@dataclass(frozen=True)
class RK45(Solver):
    """Dormand-Prince 5(4) on the probability flow, with steps of its own for each sample.

    Dormand & Prince 1980, with the step control of Hairer, Norsett & Wanner 1993, II.4. A sample
    does not depend on its neighbours, and its network calls are counted for it alone.
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
    """Bogacki-Shampine 3(2) on the probability flow, with steps of its own for each sample.

    With three network calls in a step it is cheaper than `rk45` at tolerances above about 1e-2.
    """

    order = 3
    cost = 3
    citation = "Bogacki & Shampine 1989; Hairer, Norsett & Wanner 1993, II.4"
    pair = BOGACKI_SHAMPINE
