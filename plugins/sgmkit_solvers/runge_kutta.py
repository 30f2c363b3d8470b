"""Explicit Runge-Kutta methods, on the probability flow or with its linear part taken out."""

from dataclasses import dataclass
from typing import Annotated, Literal

from torch import Tensor
from typing_extensions import Doc

from sgmkit import LinearSDE
from sgmkit.processes import Variable, operators_by_time, times_between, variable_and_rate
from sgmkit.solvers import FORMS, Exponential, NoiseForm, Stage, Step, asked

Method = Literal[
    "euler", "heun", "midpoint", "ralston", "kutta3", "heun3", "ralston3", "houwen3", "ssp3", "rk4"
]
TABLEAUX: dict[Method, tuple[int, tuple[tuple[float, ...], ...]]] = {
    "euler": (1, ((1,),)),
    "heun": (2, ((1,), (1 / 2, 1 / 2))),
    "midpoint": (2, ((1 / 2,), (0, 1))),
    "ralston": (2, ((2 / 3,), (1 / 4, 3 / 4))),
    "kutta3": (3, ((1 / 2,), (-1, 2), (1 / 6, 2 / 3, 1 / 6))),
    "heun3": (3, ((1 / 3,), (0, 2 / 3), (1 / 4, 0, 3 / 4))),
    "ralston3": (3, ((1 / 2,), (0, 3 / 4), (2 / 9, 1 / 3, 4 / 9))),
    "houwen3": (3, ((8 / 15,), (1 / 4, 5 / 12), (1 / 4, 0, 3 / 4))),
    "ssp3": (3, ((1,), (1 / 4, 1 / 4), (1 / 6, 1 / 6, 2 / 3))),
    "rk4": (4, ((1 / 2,), (0, 1 / 2), (0, 0, 1), (1 / 6, 1 / 3, 1 / 3, 1 / 6))),
}
"""Order, and the rows of Butcher's tableau below the first; each row sums to its stage's place."""


@dataclass(frozen=True)
class RungeKutta(Exponential):
    """A tableau on the velocity, or on the variable that a form makes of it.

    ``plain`` in t is the textbook's method. With another form the linear part is exact (Lawson
    1967): ``noise`` in sigma is DEIS' rhoRK (Zhang & Chen 2023, sec. 3.4).
    """

    method: Annotated[Method, Doc("the tableau")] = "rk4"
    form: Annotated[
        Literal["plain", "noise", "data", "equilibrium"], Doc("what is taken out of the velocity")
    ] = "plain"
    variable: Annotated[Variable, Doc("that is stepped in")] = "t"

    citation = "Butcher 2016; Lawson 1967; Zhang & Chen 2023, sec. 3.4"

    @property
    def order(self) -> int:
        return TABLEAUX[self.method][0]

    @property
    def cost(self) -> int:
        return len(TABLEAUX[self.method][1])

    def steps(self, sde: LinearSDE, grid: Tensor) -> list[Step]:
        form, t, s = FORMS[self.form](sde), grid[:-1], grid[1:]
        rows = TABLEAUX[self.method][1]
        places = [0.0, *(sum(row) for row in rows)]
        ends = {p: times_between(sde, self.variable, t, s, p) for p in set(places)} | {
            0.0: t,
            1.0: s,
        }
        times = [ends[p] for p in places]
        width = (
            variable_and_rate(sde, self.variable, s)[0]
            - variable_and_rate(sde, self.variable, t)[0]
        )
        pushes = []  # of each answer: h g / (dy/dt), at its own time
        for now in times[:-1]:
            slope = variable_and_rate(sde, self.variable, now)[1]
            pushes.append((width / slope)[:, None, None] * form.rate(now))
        columns = []
        for i, row in enumerate(rows):
            end = times[i + 1]
            parts = [
                a * form.carry(now, end) @ push
                for a, now, push in zip(row, times, pushes, strict=False)
            ]
            moves = operators_by_time(form.carry(t, end), *parts)
            stages = zip(times[i], asked(form, times[i]), moves, strict=True)
            whole = isinstance(form, NoiseForm)
            columns.append([Stage(now, ask, move, whole=whole) for now, ask, move in stages])
        return list(zip(*columns, strict=True))


@dataclass(frozen=True)
class Midpoint(RungeKutta):
    """The explicit midpoint rule on the probability flow (Runge 1895)."""

    method: Annotated[Method, Doc("the tableau")] = "midpoint"


@dataclass(frozen=True)
class EulerFlow(RungeKutta):
    """Euler's method on the probability flow."""

    method: Annotated[Method, Doc("the tableau")] = "euler"
