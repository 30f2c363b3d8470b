"""Euler's method and the midpoint rule on the probability flow: the simplest solvers there are.

Start here to write a solver. All there is to write is `step`: the state at s from the state at t,
where s < t, because time runs from the horizon down to the data. The time grid, the noise, the
count of network calls and the rule at the last step are other parts' business.
"""

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor
from typing_extensions import Doc

from sgmkit import Reverse
from sgmkit_solvers.runge_kutta import Method, PlainTableau


@dataclass(frozen=True)
class EulerFlow(PlainTableau):
    """Euler's method on the probability flow: the velocity at t is followed for the whole step."""

    method: Annotated[Method, Doc("the tableau: euler")] = "euler"

    order = 1  # the error falls as the first power of the step; `sgmkit check` measures it
    cost = 1  # network calls in a step; `sgmkit check` counts them
    citation = "Butcher 2016, sec. 20"

    def step(self, rev: Reverse, u: Tensor, t: Tensor, s: Tensor) -> Tensor:
        return u + (s - t) * rev.velocity(u, t)


@dataclass(frozen=True)
class Midpoint(PlainTableau):
    """The explicit midpoint rule on the probability flow (Runge 1895): the velocity halfway counts.

    An Euler step leads to the middle of the step, and the velocity there is followed from the
    start of the step to its end.
    """

    method: Annotated[Method, Doc("the tableau: midpoint")] = "midpoint"

    order = 2
    cost = 2
    nodes = (0.0, 0.5)  # coefficients at the start and the middle, computed for the whole grid
    citation = "Runge 1895; Butcher 2016, sec. 23"

    def step(self, rev: Reverse, u: Tensor, t: Tensor, s: Tensor) -> Tensor:
        middle = t + (s - t) / 2
        halfway = u + (middle - t) * rev.velocity(u, t)
        return u + (s - t) * rev.velocity(halfway, middle)
