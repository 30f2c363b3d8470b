"""Solvers given by the stages of each step: when to call the network, and how to combine answers.

The matrices of all stages are computed for a whole grid at once, and remembered for a process and a
grid; sampling then costs a network call and one small matrix product for each stage.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import final

from torch import Tensor

from sgmkit._util.memo import remembered
from sgmkit.processes import LinearSDE, Operator, operators_by_time
from sgmkit.solvers.reverse import Reverse
from sgmkit.solvers.solver import OneStepSolver


@dataclass(frozen=True)
class Stage:
    """One network call and the move after it.

    Args:
        time: of the network call, ``()``.
        to_answer: operator on (point, eps) that gives the answer; None where it is eps itself.
        move: operator that gives the next point. It acts on the state at the start of the step, the
            answers of this step in their order, ``past`` first answers of earlier steps (the latest
            first), and all draws of this step.
        past: how many answers of earlier steps ``move`` takes.
        draws: how many fields of normal numbers are drawn before the move.
        driven: whether draws are for the driven phases alone; otherwise for all phases.
        whole: whether the answer is the noise of all phases; it is then taken from `Reverse.whole`
            if the model predicts that.
    """

    time: Tensor
    to_answer: Operator | None
    move: Operator
    past: int = 0
    draws: int = 0
    driven: bool = False
    whole: bool = False

    def answer(self, rev: Reverse, u: Tensor) -> Tensor:
        """The answer at the point u, ``(B, j, *event)``; one network call."""
        if self.whole and rev.predicts_whole:
            return rev.whole(u, self.time)
        eps = rev.eps(u, self.time)
        return eps if self.to_answer is None else self.to_answer(u, eps)

    def draw(self, rev: Reverse, u: Tensor) -> list[Tensor]:
        """The fields of normal numbers for the move, of the shape of u or of its driven phases."""
        return [rev.draw(u) if self.driven else rev.noise(u) for _ in range(self.draws)]


Step = Sequence[Stage]
"""One step of a scheme: its stages, in the order in which they are computed."""


def one_stage_steps(
    t: Tensor, *matrices: Tensor, draws: int = 0, driven: bool = False
) -> list[Step]:
    """Steps of one network call each, at the times ``t (n,)``.

    Args:
        matrices: that give the next state from u, eps and each of the draws, ``(n, k, ...)`` each.
        draws: how many fields of normal numbers a step takes.
        driven: whether they are for the driven phases alone; otherwise for all phases.
    """
    moves = operators_by_time(*matrices)
    return [
        [Stage(now, None, move, draws=draws, driven=driven)]
        for now, move in zip(t, moves, strict=True)
    ]


class Scheme(OneStepSolver):
    """A solver given by the stages of its steps: a subclass writes `steps`.

    Make it a frozen data class: its stages are then computed once for a process and a grid.
    """

    @abstractmethod
    def steps(self, sde: LinearSDE, grid: Tensor) -> Sequence[Step]:
        """The stages of each step of ``grid (steps + 1,)``."""

    @final
    def moves(self, rev: Reverse, grid: Tensor) -> Iterator[Callable[[Tensor], Tensor]]:
        for step in step_table(self, rev.sde, grid):
            yield lambda u, step=step: take_step(rev, u, step)[0]

    @final
    def solve(self, rev: Reverse, u: Tensor, grid: Tensor) -> Tensor:
        past: list[Tensor] = []
        for step in step_table(self, rev.sde, grid):
            u, answer = take_step(rev, u, step, past)
            past = [answer, *past[:2]]
        return u


def take_step(
    rev: Reverse, u: Tensor, step: Step, past: Sequence[Tensor] = ()
) -> tuple[Tensor, Tensor]:
    """The state after one step from ``u (B, k, *event)``, and the first answer of the step.

    Args:
        past: first answers of earlier steps, the latest first.
    """
    point, answers, draws = u, list[Tensor](), list[Tensor]()
    for stage in step:
        answers.append(stage.answer(rev, point))
        draws += stage.draw(rev, u)
        point = stage.move(u, *answers, *past[: stage.past], *draws)
    return point, answers[0]


@remembered
def step_table(scheme: Scheme, sde: LinearSDE, grid: Tensor) -> Sequence[Step]:
    """`Scheme.steps`, computed once for a process and a grid."""
    return scheme.steps(sde, grid)
