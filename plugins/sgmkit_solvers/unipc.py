"""Predictor and corrector on one network call a step."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le
from torch import Tensor
from typing_extensions import Doc

from sgmkit import LinearSDE, Reverse, Solver
from sgmkit.processes import Operator, remembered
from sgmkit.solvers import FORMS, Rule, asked, combined


@dataclass(frozen=True)
class UniPC(Solver):
    """Exponential Adams-Bashforth, then Adams-Moulton with the answer at the predicted point.

    That answer also serves the next step, so that a step is one call (Zhao et al. 2023, alg. 1, 2).
    ``bh1`` and ``bh2`` are the paper's two choices of B(h): they matter where a single difference
    is weighed, and are exact beyond. The last step has no corrector.
    """

    max_order: Annotated[int, Ge(1), Le(3), Doc("answers that the predictor combines")] = 3
    variant: Annotated[Literal["bh1", "bh2"], Doc("B(h): the step, or its exponential")] = "bh2"
    form: Annotated[Literal["data", "noise"], Doc("what is taken for a polynomial")] = "data"
    lower_final: Annotated[bool, Doc("lower orders in the last steps")] = True

    citation = "Zhao et al. 2023 (UniPC), alg. 1 and 2"

    @property
    def order(self) -> int:
        """As it ends with a step of first order, a lower final order leaves no more than two."""
        return min(2, self.max_order) if self.lower_final else self.max_order

    @property
    def history(self) -> int:
        return self.max_order

    def solve(self, rev: Reverse, u: Tensor, grid: Tensor) -> Tensor:
        past, point = list[Tensor](), u
        for count, t, ask, fix, move in _table(self, rev.sde, grid):
            eps = rev.eps(point, t)
            answer = eps if ask is None else ask(point, eps)
            if fix:
                u = fix(u, answer, *past)
            past = [answer, *past][:count]
            point = move(u, *past)
        return point

    def rule(self, count: int) -> Rule:
        """B(h) where a single difference is weighed."""
        if count != 2:
            return "exact"
        return "half" if self.variant == "bh2" else "end"


_Row = tuple[int, Tensor, Operator | None, Operator | None, Operator]


@remembered
def _table(solver: UniPC, sde: LinearSDE, grid: Tensor) -> list[_Row]:
    """At each time: what to ask, the step that led there corrected, and the next one."""
    form, steps = FORMS[solver.form](sde), len(grid) - 1
    counts = [
        min(solver.max_order, i + 1, steps - i if solver.lower_final else steps)
        for i in range(steps)
    ]
    moves = combined(form, "logsnr", grid, counts, solver.rule)
    fixes = [None, *combined(form, "logsnr", grid, counts, solver.rule, ahead=True)[:-1]]
    t = grid[:-1]
    return list(zip(counts, t, asked(form, t), fixes, moves, strict=True))
