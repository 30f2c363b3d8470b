"""Exponential methods of any order: multistep ones, and ones with stages.

Both are made from the moments of `sgmkit.solvers.exponential`: a further one is a choice of nodes.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from sgmkit.processes import (
    ClockedSDE,
    LinearSDE,
    Operator,
    Variable,
    noise_level,
    operators_by_time,
    time_at_snr,
    times_between,
    variable_and_rate,
)
from sgmkit.solvers.exponential import (
    FORMS,
    EquilibriumForm,
    Form,
    NoiseForm,
    moments,
    root,
    weights,
)
from sgmkit.solvers.scheme import Scheme, Stage, Step

Rule = Literal["exact", "half", "end", "third"]
"""How moments are taken: "half" makes the first one half of the zeroth and "third" halves the
second, as released codes do; "end" takes the rate at the end of the step."""


class Exponential(Scheme):
    """What exponential methods share.

    Attributes:
        form: name of the split; see `sgmkit.solvers.exponential.FORMS`.
        variable: in which answers are polynomials.
        eta: lam squared: 0 is the probability flow, 1 the reverse SDE.
    """

    form: str = "data"
    variable: Variable = "logsnr"
    eta: float = 0.0

    @property
    def stochastic(self) -> bool:
        return self.eta > 0

    def supports(self, sde: LinearSDE) -> str | None:
        if FORMS[self.form] is EquilibriumForm and not (
            isinstance(sde, ClockedSDE) and sde.precision
        ):
            return f"{type(sde).__name__} has no equilibrium on a clock to split off"
        return None

    def split(self, sde: LinearSDE) -> Form:
        """The form for a process."""
        return FORMS[self.form](sde, self.eta)


class Multistep(Exponential):
    """Exponential Adams-Bashforth: the answers of earlier steps are extrapolated.

    The first steps have no past: they are taken at lower order.

    Attributes:
        max_order: answers that are combined, up to four.
        lower_final: whether the last steps of a grid of fewer than ten are of lower order
            (Lu et al. 2022b).
    """

    max_order: int = 2
    lower_final: bool = False

    @property
    def history(self) -> int:
        return self.max_order - 1

    def rule(self, count: int) -> Rule:
        """How the moments of a step with ``count`` answers are taken; see `Rule`."""
        return "exact"

    def counts(self, steps: int) -> list[int]:
        """Answers that each step combines."""
        final = steps < 10 and self.lower_final
        return [min(self.max_order, i + 1, steps - i if final else steps) for i in range(steps)]

    def steps(self, sde: LinearSDE, grid: Tensor) -> Sequence[Step]:
        form, t = self.split(sde), grid[:-1]
        counts = self.counts(len(t))
        moves = combined(form, self.variable, grid, counts, self.rule)
        whole, draws = isinstance(form, NoiseForm), int(self.eta > 0)
        rows = zip(t, asked(form, t), moves, counts, strict=True)
        return [
            [Stage(now, ask, move, count - 1, draws, whole=whole)] for now, ask, move, count in rows
        ]


@dataclass(frozen=True)
class Node:
    """Where a stage leads, and how.

    Args:
        share: of the step, in the variable that stages are placed in; 1 is its end.
        uses: which of the answers so far the polynomial goes through, by number.
        rule: of its moments.
    """

    share: float
    uses: tuple[int, ...] = (0,)
    rule: Rule = "exact"


class Staged(Exponential):
    """Exponential Runge-Kutta: each stage goes from the start of the step, through some answers.

    Attributes:
        inner: variable in which stages are placed; see `sgmkit.processes.times_between`.
        ancestral: noise in units of the posterior's, for the flow (eta = 0): a step goes on to a
            lower noise level, and the forward process from there to its end (k-diffusion).
        every_stage: whether each stage does so, not the last alone.
    """

    inner: str = "logsnr"
    ancestral: float = 0.0
    every_stage: bool = False

    @abstractmethod
    def nodes(self) -> tuple[Node, ...]:
        """The stages in order; the last one ends at 1."""

    @property
    def cost(self) -> int:
        return len(self.nodes())

    @property
    def stochastic(self) -> bool:
        return self.eta > 0 or self.ancestral > 0

    def steps(self, sde: LinearSDE, grid: Tensor) -> Sequence[Step]:
        form, nodes, t = self.split(sde), self.nodes(), grid[:-1]
        down = self._down(sde, t, grid[1:])
        last = grid[1:] if self.every_stage else down
        ends = [times_between(sde, self.inner, t, last, n.share) for n in nodes[:-1]] + [grid[1:]]
        goals = [self._down(sde, t, end) for end in ends[:-1]] if self.every_stage else ends[:-1]
        goals.append(down)
        times, columns = [t], []
        for node, goal, end in zip(nodes, goals, ends, strict=True):
            columns.append(self._stage(form, times, goal, end, node))
            times = [*times, end]
        return list(zip(*columns, strict=True))

    def _stage(
        self, form: Form, times: list[Tensor], goal: Tensor, end: Tensor, node: Node
    ) -> list[Stage]:
        """The stage of each step that starts at ``times[-1]``, and goes by ``goal`` to ``end``."""
        t, uses = times[0], [times[i] for i in node.uses]
        moment = ruled(form, self.variable, t, goal, len(uses), node.rule)
        values = [variable_and_rate(form.sde, self.variable, x)[0] for x in (t, goal, *uses)]
        theta = torch.stack([(v - values[0]) / (values[1] - values[0]) for v in values[2:]], 1)
        parts = dict(zip(node.uses, weights(moment, theta).unbind(1), strict=True))
        none = torch.zeros_like(moment[:, 0])
        row = [form.carry(t, goal), *(parts.get(i, none) for i in range(len(times)))]
        drawn = self.eta > 0
        if self.eta:  # one path: the noise of each part of it, carried to the end
            ways = pairwise([*times, end])
            row += [form.carry(b, end) @ root(form.spread(a, b)) for a, b in ways]
        if self.ancestral and goal is not end:
            phi, cov = form.sde.transition(goal, end)
            others = [torch.zeros_like(cov)] * (len(times) - 1 if self.every_stage else 0)
            row, drawn = [*(phi @ part for part in row), *others, root(cov)], True
        moves, whole = operators_by_time(*row), isinstance(form, NoiseForm)
        plain = Stage(t[0], None, moves[0], draws=int(drawn), whole=whole)
        return [
            replace(plain, time=now, ask=ask, move=move)
            for now, ask, move in zip(times[-1], asked(form, times[-1]), moves, strict=True)
        ]

    def _down(self, sde: LinearSDE, t: Tensor, s: Tensor) -> Tensor:
        """Where the noise level is ``(sigma_s^2 - (eta up)^2)^{1/2}``, with the posterior's up."""
        if not self.ancestral:
            return s
        high, low = noise_level(sde, t), noise_level(sde, s)
        share = (self.ancestral**2 * (1 - (low / high).square())).clamp(max=1)
        goal = 2 * low.log() + torch.log1p(-share)
        return time_at_snr(sde, -goal, 1e-9 * sde.horizon, float(s.max()))


def combined(
    form: Form,
    variable: Variable,
    grid: Tensor,
    counts: Sequence[int],
    rule: Callable[[int], Rule],
    ahead: bool = False,
) -> list[Operator]:
    """Each step of a grid, on the state and on answers at the grid's times.

    Args:
        counts: for each step, how many answers there are: at its start, and before it.
        rule: of the moments, by the number of answers.
        ahead: whether the answer at the end of the step comes first: a corrector.
    """
    value = variable_and_rate(form.sde, variable, grid)[0]
    steps: dict[int, Operator] = {}
    for count in sorted(set(counts)):
        rows = torch.tensor([i for i, other in enumerate(counts) if other == count])
        back = range(1 if ahead else 0, -count, -1)
        width = (value[rows + 1] - value[rows])[:, None]
        theta = torch.stack([value[rows + j] - value[rows] for j in back], 1) / width
        t, s = grid[rows], grid[rows + 1]
        moment = ruled(form, variable, t, s, len(back), rule(len(back)))
        parts = [form.carry(t, s), *weights(moment, theta).unbind(1)]
        if form.eta:
            parts.append(root(form.spread(t, s)))
        steps |= zip(rows.tolist(), operators_by_time(*parts), strict=True)
    return [steps[i] for i in range(len(counts))]


def asked(form: Form, t: Tensor) -> Sequence[Operator | None]:
    """The answers at ``t (n,)`` as operators on u and eps; None where they are eps itself."""
    first, second = form.answer(t)
    unit = torch.eye(second.shape[-1]).to(second)
    if not first.any() and second.shape[-1] == second.shape[-2] and bool((second == unit).all()):
        return [None] * len(t)
    return operators_by_time(first, second)


def ruled(form: Form, variable: Variable, t: Tensor, s: Tensor, count: int, rule: Rule) -> Tensor:
    """The moments of a step with ``count`` answers, ``(n, count, k, j)``, after a `Rule`."""
    moment = moments(form, variable, t, s, count)
    if rule == "half" and count > 1:
        moment[:, 1] = moment[:, 0] / 2
    if rule == "end" and count > 1:
        (start, _), (end, slope) = (variable_and_rate(form.sde, variable, x) for x in (t, s))
        moment[:, 1] = form.rate(s) * ((end - start) / slope / 2)[:, None, None]
    if rule == "third" and count > 2:
        moment[:, 2] = moment[:, 2] / 2
    return moment
