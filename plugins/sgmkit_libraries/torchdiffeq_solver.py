"""The ODE methods of torchdiffeq on the probability flow."""

import warnings
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from annotated_types import Gt
from torch import Tensor
from torchdiffeq import odeint
from typing_extensions import Doc

from sgmkit import LinearSDE, Reverse, Solver
from sgmkit.errors import UserError

Method = Literal[
    "dopri8",
    "dopri5",
    "bosh3",
    "fehlberg2",
    "adaptive_heun",
    "scipy_solver",
    "euler",
    "midpoint",
    "heun2",
    "heun3",
    "rk4",
    "explicit_adams",
    "implicit_adams",
    "fixed_adams",
]

STRICTER = {"fehlberg2": 1 / 16}
"""Factors on the tolerances: Fehlberg's pair underestimates its error, by a weight of 1/512."""
MAX_STEPS = 100_000
"""Limit on the steps of an adaptive method, accepted and rejected ones together."""


class _Fact(NamedTuple):
    """Facts of a method.

    Args:
        order: of convergence.
        cost: evaluations in each step.
        nodes: where in a step they are, as shares of it. Empty for an adaptive method, whose steps
            are not known in advance.
    """

    order: int
    cost: int
    nodes: tuple[float, ...] = ()


# An adaptive method keeps the last stage of a step as the first of the next one.
_FACTS: dict[str, _Fact] = {
    "dopri8": _Fact(8, 13),
    "dopri5": _Fact(5, 6),
    "bosh3": _Fact(3, 3),
    "fehlberg2": _Fact(2, 2),
    "adaptive_heun": _Fact(2, 1),
    "scipy_solver": _Fact(5, 6),
    "euler": _Fact(1, 1, (0.0,)),
    "midpoint": _Fact(2, 2, (0.0, 0.5)),
    "heun2": _Fact(2, 2, (0.0, 1.0)),
    "heun3": _Fact(3, 3, (0.0, 1 / 3, 2 / 3)),
    "rk4": _Fact(4, 4, (0.0, 1 / 3, 2 / 3)),  # the 3/8 rule; its last stage is the next time
}
ADAMS = (
    "torchdiffeq's Adams methods have the weights of equal steps, whatever the grid, and no fixed "
    "number of calls a step; use deis, or exponential:form=plain"
)


@dataclass(frozen=True)
class TorchDiffEq(Solver):
    """A method of torchdiffeq (Chen 2018) on the probability flow.

    Methods with fixed steps take those of the grid. Adaptive methods use the two ends of the grid;
    they measure the error over the whole batch, so that a sample depends on its neighbours, unlike
    with `rk45`. By default the library steps beyond the end, where the process may not exist, and
    interpolates back; its option ``step_t`` makes it end there exactly. The library casts times to
    the dtype of the state: the state is therefore integrated in float64, and the network gets it in
    its own dtype.

    ``scipy_solver`` is SciPy's RK45, on the CPU. ``fehlberg2`` gets a sixteenth of the tolerances,
    because its error is 100 times its own estimate. ``explicit_adams``, ``implicit_adams`` and
    ``fixed_adams`` support no process. They start with Runge-Kutta steps of four calls, and the
    implicit ones iterate until a batch has converged, so that no fixed number of calls in a step
    holds. Their weights are those of equal steps, and on any other grid they lose their order.
    """

    method: Annotated[Method, Doc("name of the method in torchdiffeq")] = "dopri5"
    rtol: Annotated[float, Gt(0), Doc("relative tolerance of an adaptive method")] = 1e-3
    atol: Annotated[float, Gt(0), Doc("absolute tolerance of an adaptive method")] = 1e-3

    citation: ClassVar[str] = "Chen 2018, torchdiffeq"

    @property
    def order(self) -> int:
        return self._fact.order

    @property
    def cost(self) -> int:
        return self._fact.cost

    @property
    def adaptive(self) -> bool:
        return not self._fact.nodes

    @property
    def _fact(self) -> _Fact:
        return _FACTS.get(self.method, _Fact(1, 1, (0.0,)))

    @property
    def coupled(self) -> bool:
        return self.adaptive

    def supports(self, sde: LinearSDE) -> str | None:
        return None if self.method in _FACTS else ADAMS

    def solve(self, rev: Reverse, u: Tensor, grid: Tensor) -> Tensor:
        ends = torch.stack([grid[0], grid[-1]])
        if self.method == "scipy_solver":
            options = {"solver": "RK45"}
        elif self.adaptive:
            options = {"step_t": ends[1:].to(u.device), "max_num_steps": MAX_STEPS}
        else:
            rev.prepare(self._times(grid))
            # As the grid of steps, rather than of outputs, it stays on the CPU.
            options = {"grid_constructor": lambda *_: grid}

        def slope(t: Tensor, y: Tensor) -> Tensor:
            # To guess a first step, the library may evaluate beyond the end, or at a time of NaN.
            return rev.velocity(y.to(u.dtype), torch.fmax(t.cpu(), grid[-1])).to(y)

        stricter = STRICTER.get(self.method, 1.0)
        try:
            with warnings.catch_warnings():  # the library gives SciPy an option of other solvers
                warnings.filterwarnings("ignore", ".*\n?.*min_step", UserWarning)
                path = odeint(
                    slope,
                    u.to(torch.float64),
                    ends.to(u.device),
                    rtol=self.rtol * stricter,
                    atol=self.atol * stricter,
                    method=self.method,
                    options=options,
                )
        except AssertionError as error:  # how the library says that it cannot go on
            reason = str(error).partition(":")[0]
            message = f"torchdiffeq {self.method}: {reason}; a looser --tol may help"
            raise UserError(message) from error
        assert isinstance(path, Tensor)
        return path[-1].to(u.dtype)

    def _times(self, grid: Tensor) -> Tensor:
        """Times at which a method of fixed steps evaluates, by the library's own arithmetic."""
        start, step = grid[:-1], grid.diff()
        return torch.cat([grid, *(start + place * step for place in self._fact.nodes)])
