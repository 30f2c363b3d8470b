r"""Exponential integrators for any linear SDE: multistep methods, and methods with stages.

With the split of `forms` a step from t to s < t is, exactly,

    u_s = T(s, t) u_t + int_t^s T(s, t') g(t') q(t') dt'.

A method approximates the answer q by a polynomial in a variable of the grid (log-SNR, t, ...) that
goes through answers at a few nodes. All that it needs are then the moments

    M_i = int_t^s T(s, t') g(t') theta(t')^i dt',

theta running from 0 at t to 1 at s, computed once for a whole grid. DPM-Solver(++), DEIS, UniPC,
SEEDS and gDDIM are choices of a form, a variable and nodes (k = 1: Lu et al. 2022; k > 1: Zhang,
Tao & Chen 2023).
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from sgmkit.processes import (
    LinearSDE,
    Operator,
    Variable,
    noise_level,
    operators_by_time,
    time_at_snr,
    times_between,
    variable_and_rate,
)
from sgmkit.solvers.forms import FORMS, Form, covariance_factor
from sgmkit.solvers.stages import Scheme, Stage, Step

NODES = 12
"""Gauss-Legendre nodes on each panel of a step."""
PANEL = 0.7
"""Widest panel, in log t and the log of the noise level together."""

Rule = Literal["exact", "half", "end", "third"]
"""How the moments of a step are taken.

``exact``: integrated. ``half``: M_1 is M_0 / 2; ``third``: M_2 is halved (both as released codes
do). ``end``: M_1 from the rate at the end of the step.
"""


class Exponential(Scheme):
    """Base of the exponential methods: a form, and the variable in which answers are polynomials.

    Attributes:
        form: name of the split, one of `sgmkit.solvers.FORMS`.
        variable: of the polynomials.
        eta: lam squared: 0 is the probability flow, 1 the reverse SDE.
    """

    form: str = "data"
    variable: Variable = "logsnr"
    eta: float = 0.0

    @property
    def stochastic(self) -> bool:
        return self.eta > 0

    def supports(self, sde: LinearSDE) -> str | None:
        return FORMS[self.form].supports(sde)

    def split(self, sde: LinearSDE) -> Form:
        """The form for a process."""
        return FORMS[self.form](sde, self.eta)


class Multistep(Exponential):
    """Exponential Adams-Bashforth: the answers of earlier steps are extrapolated.

    The first steps have no earlier answers, and are taken at lower order.

    Attributes:
        max_order: how many answers are combined, up to four.
        lower_final: whether the last steps are of lower order on grids of fewer than ten steps
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
        """How many answers each step combines."""
        final = steps < 10 and self.lower_final
        return [min(self.max_order, i + 1, steps - i if final else steps) for i in range(steps)]

    def steps(self, sde: LinearSDE, grid: Tensor) -> Sequence[Step]:
        form, t = self.split(sde), grid[:-1]
        counts = self.counts(len(t))
        moves = multistep_operators(form, self.variable, grid, counts, self.rule)
        draws = int(self.eta > 0)
        rows = zip(t, form.answer_operators(t), moves, counts, strict=True)
        return [
            [Stage(now, answer, move, count - 1, draws, whole=form.whole)]
            for now, answer, move, count in rows
        ]


@dataclass(frozen=True)
class Node:
    """One stage of a step: how far it goes, and by which answers.

    Args:
        share: where it ends, as a share of the step in the variable in which stages are placed; the
            step ends at 1.
        uses: numbers of the answers of this step that the polynomial goes through.
        rule: how its moments are taken.
    """

    share: float
    uses: tuple[int, ...] = (0,)
    rule: Rule = "exact"


class Staged(Exponential):
    """Exponential Runge-Kutta: each stage goes from the start of the step, by earlier answers.

    Attributes:
        inner: variable in which stages are placed; see `sgmkit.processes.times_between`.
        ancestral: ancestral noise for the flow (eta = 0), in units of the posterior's deviation.
            The step goes beyond its end, to a lower noise level; the forward process leads from
            there back to its end and adds the noise (k-diffusion).
        every_stage: whether every stage does this; otherwise the last one alone does.
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
        """One stage of every step of the grid.

        Args:
            times: at which the network has been called so far in the step; the last is this
                stage's call.
            goal: where the polynomial leads, a lower noise level than ``end`` for ancestral noise.
            end: where the stage ends.
            node: the stage.
        """
        t, uses = times[0], [times[i] for i in node.uses]
        moment = moments_by_rule(form, self.variable, t, goal, len(uses), node.rule)
        values = [variable_and_rate(form.sde, self.variable, x)[0] for x in (t, goal, *uses)]
        theta = torch.stack([(v - values[0]) / (values[1] - values[0]) for v in values[2:]], 1)
        parts = dict(zip(node.uses, weights(moment, theta).unbind(1), strict=True))
        none = torch.zeros_like(moment[:, 0])
        # u_end = T u + sum_i w_i q_i, by the matrices of u and of every answer so far
        row = [form.propagator(t, goal), *(parts.get(i, none) for i in range(len(times)))]
        draws = int(self.eta > 0)
        if self.eta:  # stages share one noise path: that of each part of it, carried to the end
            for a, b in pairwise([*times, end]):
                factor = covariance_factor(form.noise_cov(a, b))
                row.append(form.propagator(b, end) @ factor)
        if self.ancestral and goal is not end:
            phi, cov = form.sde.transition(goal, end)
            others = [torch.zeros_like(cov)] * (len(times) - 1 if self.every_stage else 0)
            row = [*(phi @ part for part in row), *others, covariance_factor(cov)]
            draws = 1
        now = times[-1]
        columns = zip(now, form.answer_operators(now), operators_by_time(*row), strict=True)
        return [
            Stage(time, answer, move, draws=draws, whole=form.whole)
            for time, answer, move in columns
        ]

    def _down(self, sde: LinearSDE, t: Tensor, s: Tensor) -> Tensor:
        """Time below s at which ancestral noise starts: s itself without ancestral noise.

        There ``sigma_down^2 = sigma_s^2 - (ancestral sigma_up)^2``, with the posterior's variance
        ``sigma_up^2 = sigma_s^2 (1 - sigma_s^2 / sigma_t^2)`` (k-diffusion).
        """
        if not self.ancestral:
            return s
        high, low = noise_level(sde, t), noise_level(sde, s)
        share = (self.ancestral**2 * (1 - (low / high).square())).clamp(max=1)
        goal = 2 * low.log() + torch.log1p(-share)
        return time_at_snr(sde, -goal, 1e-9 * sde.horizon, float(s.max()))


def multistep_operators(
    form: Form,
    variable: Variable,
    grid: Tensor,
    counts: Sequence[int],
    rule: Callable[[int], Rule],
    ahead: bool = False,
) -> list[Operator]:
    """Each step of a grid, as an operator on the state, the answers and (with eta) a draw.

    Answers are those at the grid's times, the latest first.

    Args:
        form: the split.
        variable: of the polynomials.
        grid: ``(steps + 1,)`` times.
        counts: for each step, how many answers there are at its start and before it.
        rule: how moments are taken, by the number of answers.
        ahead: whether the answer at the end of the step is used too, and comes first: a corrector.
    """
    value = variable_and_rate(form.sde, variable, grid)[0]
    steps: dict[int, Operator] = {}
    for count in sorted(set(counts)):
        rows = torch.tensor([i for i, other in enumerate(counts) if other == count])
        back = range(1 if ahead else 0, -count, -1)
        width = (value[rows + 1] - value[rows])[:, None]
        theta = torch.stack([value[rows + j] - value[rows] for j in back], 1) / width
        t, s = grid[rows], grid[rows + 1]
        moment = moments_by_rule(form, variable, t, s, len(back), rule(len(back)))
        parts = [form.propagator(t, s), *weights(moment, theta).unbind(1)]
        if form.eta:
            parts.append(covariance_factor(form.noise_cov(t, s)))
        steps |= zip(rows.tolist(), operators_by_time(*parts), strict=True)
    return [steps[i] for i in range(len(counts))]


def moments(form: Form, variable: Variable, t: Tensor, s: Tensor, count: int) -> Tensor:
    """``M_i``, i < count, ``(n, count, k, j)``, of steps from ``t (n,)`` to ``s (n,)``.

    See the top of the module. Integrals are Gauss-Legendre quadratures in log t, on the panels of
    each step.
    """
    position, mass = (torch.from_numpy(v).to(t) for v in np.polynomial.legendre.leggauss(NODES))
    step, begin, end = _panels(form.sde, t, s)
    low, width = begin.log()[:, None], (end / begin).log()[:, None]
    nodes = torch.exp(low + width * (1 + position) / 2)
    pushed = form.propagators(nodes, end) @ form.rate(nodes.flatten()).unflatten(0, nodes.shape)
    weight = mass / 2 * width * nodes
    first, last = (variable_and_rate(form.sde, variable, x)[0][step, None] for x in (t, s))
    theta = (variable_and_rate(form.sde, variable, nodes)[0] - first) / (last - first)
    powers = torch.stack([weight * theta**i for i in range(count)], 1)  # (panels, count, nodes)
    parts = (powers @ pushed.flatten(2)).unflatten(2, pushed.shape[2:])
    # Horner's rule: each step carries the sum over a panel through the next one.
    hops, total = form.propagator(begin, end)[:, None], parts.new_zeros(len(t), *parts.shape[1:])
    for i, hop, part in zip(step.tolist(), hops, parts, strict=True):
        total[i] = hop @ total[i] + part
    constant = form.constant_moment(t, s)
    if constant is not None:
        total[:, 0] = constant
    return total


def _panels(sde: LinearSDE, t: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Panels that steps from t to s are cut into: step number, begin and end, ``(panels,)`` each.

    Rates grow as powers of t near the data, and as powers of the signal-to-noise ratio where a
    schedule ends without signal: no panel is wider than `PANEL` in ``log t - log |rho|``.
    """

    def reach(time: Tensor) -> Tensor:
        return time.log() - 0.5 * sde.kernel(time).snr.log()

    start, width = reach(t), reach(t) - reach(s)
    parts = (width / PANEL).ceil().nan_to_num(1, 1, 1).clamp(min=1).long()
    step = torch.arange(len(t), device=t.device).repeat_interleave(parts)
    number = torch.arange(len(step), device=t.device) - (parts.cumsum(0) - parts)[step]
    goal = start[step] - width[step] * number / parts[step]
    low, high = s.log()[step], t.log()[step]
    for _ in range(30):
        middle = (low + high) / 2
        beyond = reach(middle.exp()) > goal
        low, high = torch.where(beyond, low, middle), torch.where(beyond, middle, high)
    begin = torch.where(number == 0, t[step], low.exp())
    end = torch.where(number == parts[step] - 1, s[step], begin.roll(-1))
    return step, begin, end


def weights(moment: Tensor, nodes: Tensor) -> Tensor:
    """Weights of p answers that integrate a polynomial of degree p - 1 exactly, ``(n, p, k, j)``.

    Args:
        moment: the moments, ``(n, p, k, j)``.
        nodes: theta of the answers, ``(n, p)``: 0 at the start of a step, 1 at its end, negative
            before it.
    """
    # sum_j w_j theta_j^i = M_i for i < p
    count = nodes.shape[1]
    powers = torch.stack([nodes**i for i in range(count)], 1)
    flat = moment[:, :count].flatten(2)
    return torch.linalg.solve(powers, flat).unflatten(2, moment.shape[2:])


def moments_by_rule(
    form: Form, variable: Variable, t: Tensor, s: Tensor, count: int, rule: Rule
) -> Tensor:
    """The moments of steps with ``count`` answers, ``(n, count, k, j)``, taken by a `Rule`."""
    moment = moments(form, variable, t, s, count)
    if rule == "half" and count > 1:
        moment[:, 1] = moment[:, 0] / 2
    if rule == "end" and count > 1:
        (start, _), (end, slope) = (variable_and_rate(form.sde, variable, x) for x in (t, s))
        moment[:, 1] = form.rate(s) * ((end - start) / slope / 2)[:, None, None]
    if rule == "third" and count > 2:
        moment[:, 2] = moment[:, 2] / 2
    return moment
