"""UniPC: an exponential predictor and corrector on one network call in each step."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le
from torch import Tensor
from typing_extensions import Doc

from sgmkit import LinearSDE, Reverse, Solver
from sgmkit.processes import Operator, remembered
from sgmkit.solvers import FORMS, Rule, multistep_operators


@dataclass(frozen=True)
class UniPC(Solver):
    """Exponential Adams-Bashforth, then Adams-Moulton with the answer at the predicted point.

    That answer also serves as the first one of the next step, so that a step takes one network call
    (Zhao et al. 2023, alg. 1 and 2). ``bh1`` and ``bh2`` are the paper's two choices of B(h); they
    matter where a single difference of answers is used, and make no difference beyond. The last
    step has no corrector.
    """

    max_order: Annotated[int, Ge(1), Le(3), Doc("how many answers the predictor combines")] = 3
    variant: Annotated[Literal["bh1", "bh2"], Doc("the paper's B(h): h, or exp(h) - 1")] = "bh2"
    form: Annotated[
        Literal["data", "noise"], Doc("prediction that is approximated by a polynomial")
    ] = "data"
    lower_final: Annotated[bool, Doc("lower orders in the last steps")] = True

    citation = "Zhao et al. 2023 (UniPC), alg. 1 and 2"

    @property
    def order(self) -> int:
        """A last step of first order leaves the whole no more than second order."""
        return min(2, self.max_order) if self.lower_final else self.max_order

    @property
    def history(self) -> int:
        return self.max_order

    def solve(self, rev: Reverse, u: Tensor, grid: Tensor) -> Tensor:
        past, point = list[Tensor](), u
        for count, t, to_answer, correct, predict in _table(self, rev.sde, grid):
            eps = rev.eps(point, t)
            answer = eps if to_answer is None else to_answer(point, eps)
            if correct:
                u = correct(u, answer, *past)
            past = [answer, *past][:count]
            point = predict(u, *past)
        return point

    def rule(self, count: int) -> Rule:
        """B(h) in terms of the first moment, where a single difference of answers is used."""
        if count != 2:
            return "exact"
        return "half" if self.variant == "bh2" else "end"


_Row = tuple[int, Tensor, Operator | None, Operator | None, Operator]


@remembered
def _table(solver: UniPC, sde: LinearSDE, grid: Tensor) -> list[_Row]:
    """For each step: count of answers, time, operator to the answer, corrector and predictor.

    The corrector repeats the step that led to this time; the predictor takes the next one.
    """
    form, steps = FORMS[solver.form](sde), len(grid) - 1
    counts = [
        min(solver.max_order, i + 1, steps - i if solver.lower_final else steps)
        for i in range(steps)
    ]
    predictors = multistep_operators(form, "logsnr", grid, counts, solver.rule)
    correctors = multistep_operators(form, "logsnr", grid, counts, solver.rule, ahead=True)
    t = grid[:-1]
    columns = counts, t, form.answer_operators(t), [None, *correctors[:-1]], predictors
    return list(zip(*columns, strict=True))
