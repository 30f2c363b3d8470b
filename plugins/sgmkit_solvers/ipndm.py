"""Improved PNDM: the exponential step, with the weights of equal steps."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le
from torch import Tensor
from typing_extensions import Doc

from sgmkit import LinearSDE
from sgmkit.processes import operators_by_time
from sgmkit.solvers import NoiseForm, Scheme, Stage, Step, moments

WEIGHTS = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)
"""Adams-Bashforth weights of equal steps, by the number of answers."""


@dataclass(frozen=True)
class IPNDM(Scheme):
    """DDIM's step with the noise extrapolated as if all steps were equal.

    Zhang & Chen 2023, app. H.2, after PNDM (Liu et al. 2022). Steps are never equal in every
    variable that matters, so the order is one however many answers are combined; with few steps
    that costs little.
    """

    answers: Annotated[int, Ge(1), Le(4), Doc("how many noise predictions are combined")] = 4

    citation = "Liu et al. 2022 (PNDM); Zhang & Chen 2023, app. H.2"

    def steps(self, sde: LinearSDE, grid: Tensor) -> list[Step]:
        """``u_s = T u_t + M_0 sum_j w_j q_j``."""
        form, t, s = NoiseForm(sde), grid[:-1], grid[1:]
        total = moments(form, "t", t, s, 1)[:, 0]
        counts = [min(i + 1, self.answers) for i in range(len(t))]
        keep = form.propagator(t, s)
        moves = [
            operators_by_time(keep[i, None], *(w * total[i, None] for w in WEIGHTS[count - 1]))[0]
            for i, count in enumerate(counts)
        ]
        rows = zip(t, form.answer_operators(t), moves, counts, strict=True)
        return [
            [Stage(now, answer, move, count - 1, whole=form.whole)]
            for now, answer, move, count in rows
        ]
