"""Explicit Runge-Kutta methods, on the probability flow or with its linear part exact."""

from dataclasses import dataclass
from typing import Annotated, Literal

from torch import Tensor
from typing_extensions import Doc

from sgmkit import LinearSDE, StepSolver
from sgmkit.errors import BadValue
from sgmkit.processes import Variable, operators_by_time, times_between, variable_and_rate
from sgmkit.solvers import FORMS, Exponential, Stage, Step

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
"""Order of convergence, and the rows of Butcher's tableau below the first.

Row i has the weights of the velocities so far and sums to where stage i lies in the step; the last
row leads to the end of the step.
"""
Form = Literal["plain", "noise", "data", "equilibrium"]


@dataclass(frozen=True)
class RungeKutta(Exponential):
    """A Runge-Kutta tableau on the velocity, or on the variable that a form makes of it.

    ``plain`` in t is the textbook's method. With another form the linear part of the flow is exact
    (Lawson 1967); ``noise`` in sigma is DEIS' rhoRK (Zhang & Chen 2023, sec. 3.4).
    """

    method: Annotated[Method, Doc("the tableau")] = "rk4"
    form: Annotated[Form, Doc("split of the flow; plain takes no part as exact")] = "plain"
    variable: Annotated[Variable, Doc("variable in which steps are taken")] = "t"

    citation = "Butcher 2016; Lawson 1967; Zhang & Chen 2023, sec. 3.4"

    @property
    def order(self) -> int:
        return TABLEAUX[self.method][0]

    @property
    def cost(self) -> int:
        return len(TABLEAUX[self.method][1])

    def steps(self, sde: LinearSDE, grid: Tensor) -> list[Step]:
        """``u_i = T u + sum_j a_ij T_ij (h / (dy/dt)_j) g_j q_j``, y being the variable."""
        form, t, s = FORMS[self.form](sde), grid[:-1], grid[1:]
        tableau = TABLEAUX[self.method][1]
        positions = [0.0, *(sum(row) for row in tableau)]
        times_at = {p: times_between(sde, self.variable, t, s, p) for p in set(positions)}
        times_at |= {0.0: t, 1.0: s}
        times = [times_at[p] for p in positions]
        start, end = (variable_and_rate(sde, self.variable, x)[0] for x in (t, s))
        pushes = []
        for now in times[:-1]:
            slope = variable_and_rate(sde, self.variable, now)[1]
            pushes.append(((end - start) / slope)[:, None, None] * form.rate(now))
        columns = []
        for i, row in enumerate(tableau):
            parts = [
                a * form.propagator(now, times[i + 1]) @ push
                for a, now, push in zip(row, times, pushes, strict=False)
            ]
            moves = operators_by_time(form.propagator(t, times[i + 1]), *parts)
            stages = zip(times[i], form.answer_operators(times[i]), moves, strict=True)
            columns.append(
                [Stage(now, answer, move, whole=form.whole) for now, answer, move in stages]
            )
        return list(zip(*columns, strict=True))


@dataclass(frozen=True)
class PlainTableau(StepSolver):
    """The options of `RungeKutta`, of which a single value is allowed.

    `euler-flow` and `midpoint` once were `RungeKutta` with another default. Their options stay, so
    that results that were stored under them are found again.
    """

    method: Annotated[Method, Doc("the tableau")]
    form: Annotated[Form, Doc("split of the flow: plain")] = "plain"
    variable: Annotated[Variable, Doc("variable in which steps are taken: t")] = "t"

    def __post_init__(self) -> None:
        options = {"method": type(self).method, "form": "plain", "variable": "t"}
        chosen = {name: getattr(self, name) for name in options}
        if chosen != options:
            spec = ":".join(
                f"{name}={value}"
                for name, value in chosen.items()
                if name == "method" or value != options[name]
            )
            raise BadValue(f"this solver takes no other options; use rk4:{spec}")
