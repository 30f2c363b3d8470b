"""The exponential step with a combination of answers that knows no steps."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le
from torch import Tensor
from typing_extensions import Doc

from sgmkit import LinearSDE
from sgmkit.processes import operators_by_time
from sgmkit.solvers import NoiseForm, Scheme, Stage, Step, asked, moments

WEIGHTS = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)
"""Adams-Bashforth with equal steps."""


@dataclass(frozen=True)
class IPNDM(Scheme):
    """DDIM's step of the noise extrapolated as if all steps were equal.

    Zhang & Chen 2023, app. H.2, after PNDM (Liu et al. 2022). Steps are never equal in all that
    matters, so that its order is one, however many answers are combined; few steps do not mind.
    """

    answers: Annotated[int, Ge(1), Le(4), Doc("answers that are combined")] = 4

    citation = "Liu et al. 2022 (PNDM); Zhang & Chen 2023, app. H.2"

    def steps(self, sde: LinearSDE, grid: Tensor) -> list[Step]:
        form, t, s = NoiseForm(sde), grid[:-1], grid[1:]
        total = moments(form, "t", t, s, 1)[:, 0]
        counts = [min(i + 1, self.answers) for i in range(len(t))]
        keep = form.carry(t, s)
        moves = [
            operators_by_time(keep[i, None], *(w * total[i, None] for w in WEIGHTS[count - 1]))[0]
            for i, count in enumerate(counts)
        ]
        rows = zip(t, asked(form, t), moves, counts, strict=True)
        return [[Stage(now, ask, move, n - 1, whole=True)] for now, ask, move, n in rows]
