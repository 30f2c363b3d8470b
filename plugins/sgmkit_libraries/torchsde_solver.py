"""The SDE methods of torchsde on the reverse SDE."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor
from torchsde._core.methods import select
from typing_extensions import Doc

from sgmkit import Reverse, Solver

Method = Literal["euler", "milstein", "srk", "heun", "midpoint", "log_ode", "euler_heun"]


class _Fact(NamedTuple):
    """Facts of a method for additive noise.

    Args:
        order: weak order of convergence.
        cost: evaluations of the drift in each step.
        calculus: in which the library reads the SDE; with additive noise it makes no difference.
        nodes: where in a step drift or noise are evaluated, as shares of it.
    """

    order: int
    cost: int
    calculus: Literal["ito", "stratonovich"]
    nodes: tuple[float, ...]


_FACTS: dict[str, _Fact] = {
    "euler": _Fact(1, 1, "ito", (0.0,)),
    "milstein": _Fact(1, 1, "ito", (0.0,)),
    "srk": _Fact(2, 2, "ito", (0.0, 0.75, 1.0)),
    "heun": _Fact(2, 2, "stratonovich", (0.0, 1.0)),
    "midpoint": _Fact(1, 2, "stratonovich", (0.0, 0.5)),
    "log_ode": _Fact(1, 2, "stratonovich", (0.0, 0.5)),
    "euler_heun": _Fact(1, 1, "stratonovich", (0.0, 1.0)),
}


@dataclass(frozen=True)
class TorchSDE(Solver):
    """A method of torchsde (Li et al. 2020, Kidger et al. 2021) on the reverse SDE.

    The noise does not depend on the state (it is additive), which makes some methods equal:
    milstein is euler, and log_ode is midpoint. srk is the scheme SRA1 of Roessler 2010; srk and
    heun are of weak order two. midpoint shows order two where the score is linear and has order one
    elsewhere, because the variance of its inner stage is half of what it should be.

    Steps are those of the grid, with time counted backwards, and are taken one by one: ``sdeint``
    of the library allows equal steps alone, and calls the network once more to learn a shape. The
    library's Brownian interval, which is slow over short times, is not used; the noise is sgmkit's,
    with one draw in each step.

    ``reversible_heun`` is not offered: it takes one evaluation more than it has steps, so that no
    fixed number of calls in a step holds. Its adjoint is no solver by itself.
    """

    method: Annotated[Method, Doc("name of the method in torchsde")] = "srk"

    stochastic = True
    citation: ClassVar[str] = "Li, Wong, Chen & Duvenaud 2020; Kidger et al. 2021, torchsde"

    @property
    def order(self) -> int:
        return _FACTS[self.method].order

    @property
    def cost(self) -> int:
        return _FACTS[self.method].cost

    def solve(self, rev: Reverse, u: Tensor, grid: Tensor) -> Tensor:
        fact, start, step = _FACTS[self.method], grid[:-1], grid.diff()
        rev.prepare(torch.cat([grid, *(start + place * step for place in fact.nodes)]))
        scheme = select(self.method, fact.calculus)(
            sde=_Backwards(rev, fact.calculus),
            bm=_Brownian(lambda: rev.draw(u)),
            dt=0.0,
            adaptive=False,
            rtol=0.0,
            atol=0.0,
            dt_min=0.0,
            options={},
        )
        for now, then in pairwise(-grid):
            u, _ = scheme.step(now, then, u, ())
        return u


class _Backwards:
    """The reverse SDE with the methods that torchsde's schemes call, in the time ``-t``.

    Args:
        rev: the problem.
        calculus: of the scheme, ``ito`` or ``stratonovich``.
    """

    noise_type = "additive"

    def __init__(self, rev: Reverse, calculus: str) -> None:
        self.sde_type = calculus
        self._rev = rev
        self._last: tuple[float, Tensor, Tensor] | None = None

    def f(self, t: Tensor, y: Tensor) -> Tensor:
        """The drift. The last one is remembered, because srk evaluates its first stage twice."""
        if self._last is None or self._last[0] != float(t) or self._last[1] is not y:
            self._last = float(t), y, self._rev.drift(y, -t)
        return self._last[2]

    def g_prod(self, t: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """``D^{1/2} v (B, k, *event)`` of v ``(B, r, *event)``."""
        return self._rev.diffused(v, -t)

    def f_and_g_prod(self, t: Tensor, y: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """`f` and `g_prod`."""
        return self.f(t, y), self.g_prod(t, y, v)

    def g_prod_and_gdg_prod(
        self, t: Tensor, y: Tensor, v: Tensor, w: Tensor
    ) -> tuple[Tensor, float]:
        """The noise and Milstein's correction, which is zero for additive noise."""
        return self.g_prod(t, y, v), 0.0

    def dg_ga_jvp_column_sum(self, t: Tensor, y: Tensor, a: Tensor) -> float:
        """The correction by the Levy area, which is zero too."""
        return 0.0


class _Brownian:
    """Increments of the Brownian motion over the steps in turn, from draws of normal numbers.

    The library's space-time Levy area over a step of length h is ``H ~ N(0, h/12)``, independent of
    the increment W, and what its schemes use is ``U = int (W_r - W_s) dr = h (W/2 + H)`` (Foster,
    Lyons & Oberhauser 2020).

    Args:
        draw: the next normal numbers, ``(B, r, *event)``.
    """

    levy_area_approximation = "foster"  # which provides everything that a scheme may require

    def __init__(self, draw: Callable[[], Tensor]) -> None:
        self._draw = draw

    def __call__(
        self, start: Tensor, end: Tensor, return_U: bool = False, return_A: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        h = end - start
        w = self._draw() * h.sqrt()
        if return_U:
            return w, h * (w / 2 + self._draw() * (h / 12).sqrt())
        return (w, torch.zeros_like(w)) if return_A else w
