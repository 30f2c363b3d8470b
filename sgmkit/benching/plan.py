"""The plan of a bench, and which solvers with which budgets it comes to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from sgmkit.benching.labels import metrics_of, without_options
from sgmkit.benching.subject import Subject
from sgmkit.errors import BadValue
from sgmkit.models import SamplingRules
from sgmkit.registry import Resolved
from sgmkit.solvers import Solver


@dataclass(frozen=True)
class Plan:
    """What a bench compares. Every axis is separate.

    Args:
        subjects: models under test, each with its data set.
        solvers, grids, evaluators: resolved components.
        nfe: budgets in network evaluations, that of the last-step rule included; a solver takes
            as many steps as fit.
        steps: budgets in steps; used where ``nfe`` is empty.
        tol: tolerances of adaptive solvers, which ignore grids and the other budgets.
        t_min: end of the grids; None takes each model's own cut-off.
        rules: how samples begin and end; ``images`` matters only where a decoder states a law.
        samples: number of samples in each cell.
        seeds: number of seeds, from 0 upwards.
    """

    subjects: Sequence[Subject]
    solvers: Sequence[Resolved]
    grids: Sequence[Resolved]
    evaluators: Sequence[Resolved]
    nfe: Sequence[int] = ()
    steps: Sequence[int] = ()
    tol: Sequence[float] = (1e-3,)
    t_min: float | None = None
    rules: SamplingRules = field(default_factory=SamplingRules)
    samples: int = 1000
    seeds: int = 3


@dataclass(frozen=True)
class Choice:
    """A solver with its budget: a grid and a number of steps, or a tolerance.

    Args:
        solver: the solver, its tolerance included.
        options: text of the options that the user changed.
        grid: None for an adaptive solver.
        steps: None for an adaptive solver; zero where the budget does not pay for a step.
        budget: the budget as rows show it, ``nfe=50`` or ``tol=0.001``.
    """

    solver: Resolved
    options: str
    grid: Resolved | None
    steps: int | None
    budget: str

    @property
    def reason(self) -> str:
        """Why no cell can be computed with this budget; empty if one can."""
        if self.steps == 0:
            return f"{self.budget} does not pay for one step of {self.solver.short}"
        return ""

    @property
    def identity(self) -> str:
        """Equal for two choices whose cells are the same."""
        grid = self.grid.describe() if self.grid else None
        return str((self.solver.describe(), grid, self.steps, self.reason))


def choices(plan: Plan) -> list[Choice]:
    """Every solver with every budget that applies to it, each once.

    Two budgets can come to the same number of steps: ten evaluations and eleven are both five
    steps of Heun's method.
    """
    distinct: dict[str, Choice] = {}
    for solver in plan.solvers:
        for choice in _choices_of(plan, solver):
            distinct.setdefault(choice.identity, choice)
    return list(distinct.values())


def _choices_of(plan: Plan, solver: Resolved) -> Iterator[Choice]:
    built: Solver = solver.build()
    if built.adaptive:
        yield from _adaptive(solver, plan.tol)
        return
    for grid in plan.grids:
        for budget in plan.nfe or plan.steps:
            yield _fixed(plan, solver, built.cost, grid, budget)


def _adaptive(solver: Resolved, tolerances: Sequence[float]) -> Iterator[Choice]:
    """One choice for each tolerance, or for the solver's own tolerance if the user gave it one.

    Equal tolerances are the budget and no options: ``rk45:rtol=1e-4:atol=1e-4`` is the cell of
    rk45 with ``--tol 1e-4`` and looks like it.
    """
    names = [name for name in ("rtol", "atol") if name in solver.options]
    own = any(solver.options[name] != solver.defaults[name] for name in names)
    tuned = [solver]
    if names and not own:
        options = ({**solver.options, **dict.fromkeys(names, tol)} for tol in tolerances)
        tuned = [replace(solver, options=each) for each in options]
    for each in tuned:
        values = [each.options[name] for name in names]
        hidden = names if len(set(values)) == 1 else ()
        budget = f"tol={values[0]:g}" if values else ""
        yield Choice(each, without_options(each, hidden).changes, None, None, budget)


def _fixed(plan: Plan, solver: Resolved, cost: int, grid: Resolved, budget: int) -> Choice:
    last_step = int(plan.rules.last == "mean")  # that rule is one network evaluation more
    steps = (budget - last_step) // cost if plan.nfe else budget
    spent = steps * cost + last_step if steps > 0 else budget
    return Choice(solver, solver.changes, grid, max(steps, 0), f"nfe={spent}")


@dataclass(frozen=True)
class Evaluators:
    """The evaluators of a plan by what they measure, each once.

    Args:
        cell: those that measure samples.
        model: those that measure a model itself, once for all its cells.
    """

    cell: Sequence[Resolved]
    model: Sequence[Resolved]

    @classmethod
    def of(cls, plan: Plan) -> "Evaluators":
        """Build each evaluator, so that a component that it lacks is missed before any work.

        Raises:
            UserError: where an evaluator cannot be built, or two of them measure one metric.
        """
        owners: dict[str, Resolved] = {}
        scopes: dict[str, list[Resolved]] = {"cell": [], "model": []}
        for evaluator in plan.evaluators:
            metrics = [metric.name for metric in metrics_of(evaluator)]
            for metric in metrics:
                owner = owners.setdefault(metric, evaluator)
                if owner.name != evaluator.name:
                    pair = f"{owner.short!r} and {evaluator.short!r}"
                    raise BadValue(f"evaluators {pair} both measure {metric!r}; choose one")
            if all(owners[metric] is evaluator for metric in metrics):
                scopes[evaluator.built.scope].append(evaluator)
        return cls(**scopes)

    @property
    def floor(self) -> list[Resolved]:
        """Those that can compare fresh data with data, which is the floor of what they measure."""
        return [evaluator for evaluator in self.cell if evaluator.schema.cls.floor]
