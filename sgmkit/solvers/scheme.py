"""Solvers that are tables of small matrices: where to ask, and how to combine what was answered."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from torch import Tensor

from sgmkit._util.memo import remembered
from sgmkit.processes import LinearSDE, Operator, operators_by_time
from sgmkit.solvers.reverse import Reverse
from sgmkit.solvers.solver import Solver


@dataclass(frozen=True)
class Stage:
    """One network call and the move after it.

    Args:
        time: at which the network is asked, ``()``.
        ask: the answer from the point and eps; None where it is eps itself.
        move: the next point, from the state at the start of the step, the answers of this step in
            their order, `past` answers of the steps before (the last one first), and the draws of
            this step.
        past: how many earlier answers `move` takes.
        draws: how many fields of normal numbers are drawn before the move.
        driven: whether these are for the driven phases only, else for all.
        whole: whether the answer is the noise of all phases, which some models predict.
    """

    time: Tensor
    ask: Operator | None
    move: Operator
    past: int = 0
    draws: int = 0
    driven: bool = False
    whole: bool = False

    def answer(self, rev: Reverse, u: Tensor) -> Tensor:
        """``(B, j, *event)``; one network call."""
        if self.whole and rev.predicts_whole:
            return rev.whole(u, self.time)
        eps = rev.eps(u, self.time)
        return eps if self.ask is None else self.ask(u, eps)

    def drawn(self, rev: Reverse, u: Tensor) -> list[Tensor]:
        """The fields of normal numbers for the move."""
        return [rev.draw(u) if self.driven else rev.noise(u) for _ in range(self.draws)]


Step = Sequence[Stage]


def single(t: Tensor, *matrices: Tensor, draws: int = 0, driven: bool = False) -> list[Step]:
    """Steps of one stage each, from ``t (n,)``: operators on u, eps and the draws."""
    moves = operators_by_time(*matrices)
    return [
        [Stage(now, None, move, draws=draws, driven=driven)]
        for now, move in zip(t, moves, strict=True)
    ]


class Scheme(Solver):
    """A solver given by its stages: all there is to write is `steps`.

    A frozen data class, so that its table is made once for a process and a grid.
    """

    @abstractmethod
    def steps(self, sde: LinearSDE, grid: Tensor) -> Sequence[Step]:
        """The stages of each step of ``grid (steps + 1,)``."""

    @final
    def solve(self, rev: Reverse, u: Tensor, grid: Tensor) -> Tensor:
        past: list[Tensor] = []
        for step in table(self, rev.sde, grid):
            u, answer = advance(rev, u, step, past)
            past = [answer, *past[:2]]
        return u


def advance(
    rev: Reverse, u: Tensor, step: Step, past: Sequence[Tensor] = ()
) -> tuple[Tensor, Tensor]:
    """One step from ``u (B, k, *event)``: where it leads, and what was answered first.

    Args:
        past: the first answers of the steps before, the last one first.
    """
    point, answers, drawn = u, list[Tensor](), list[Tensor]()
    for stage in step:
        answers.append(stage.answer(rev, point))
        drawn += stage.drawn(rev, u)
        point = stage.move(u, *answers, *past[: stage.past], *drawn)
    return point, answers[0]


@remembered
def table(scheme: Scheme, sde: LinearSDE, grid: Tensor) -> Sequence[Step]:
    """The steps of a scheme on a grid, made once."""
    return scheme.steps(sde, grid)
