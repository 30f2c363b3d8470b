"""What a bench is asked for, and which solvers with which budgets that comes to."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sgmkit.benching.subject import Subject
from sgmkit.errors import BadValue
from sgmkit.evaluation import Metric
from sgmkit.models import SamplingRules
from sgmkit.registry import Resolved
from sgmkit.registry.options import spell
from sgmkit.solvers import Solver


@dataclass(frozen=True)
class Plan:
    """What a bench is asked for. Every axis is separate.

    Args:
        subjects: models under test.
        solvers, grids, evaluators: resolved components.
        nfe: budgets in network evaluations, the last step's included; a solver gets as many steps
            as fit.
        steps: budgets in steps; used where ``nfe`` is empty.
        tol: tolerances of adaptive solvers, which ignore grids and budgets.
        t_min: end of the grids; None takes each model's own.
        rules: how samples begin and end; ``images`` matters only where a decoder states a law.
        samples: for each cell. seeds: how many, 0 upwards.
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
    """A solver with its budget: a grid and steps, or a tolerance.

    Args:
        solver: resolved, tolerance included.
        options: text of the options that the user changed.
        grid: None for an adaptive solver.
        steps: None for an adaptive solver; zero where the budget does not pay for one.
        budget: what it comes to, ``nfe=50`` or ``tol=0.001``.
    """

    solver: Resolved
    options: str
    grid: Resolved | None
    steps: int | None
    budget: str


def choices(plan: Plan) -> Iterator[Choice]:
    """Every solver with every budget that applies to it."""
    for solver in plan.solvers:
        built: Solver = solver.build()
        if built.adaptive:
            yield from _adaptive(solver, plan.tol)
            continue
        for grid in plan.grids:
            for budget in plan.nfe or plan.steps:
                yield _fixed(plan, solver, built.cost, grid, budget)


def metrics_of(evaluator: Resolved) -> list[Metric]:
    """An evaluator's metrics; their names tell its extractor, always, and its changed options."""
    declared, told = evaluator.schema.cls.metrics, _told(evaluator)
    good = isinstance(declared, tuple) and all(isinstance(m, Metric) for m in declared)
    if not good or not declared:
        raise BadValue(
            f"evaluator {evaluator.short!r} states no metrics: "
            'metrics = (Metric("radius", better="lower"),)'
        )
    suffix = f"[{told}]" if told else ""
    return [replace(metric, name=metric.name + suffix) for metric in declared]


def judges(plan: Plan) -> dict[str, list[Resolved]]:
    """The evaluators of each scope, each of them once."""
    by_scope: dict[str, list[Resolved]] = {"cell": [], "model": []}
    owners: dict[str, Resolved] = {}
    for evaluator in plan.evaluators:
        for metric in metrics_of(evaluator):
            owner = owners.setdefault(metric.name, evaluator)
            if owner.name != evaluator.name:
                pair = f"{owner.short!r} and {evaluator.short!r}"
                raise BadValue(f"evaluators {pair} both measure {metric.name!r}; choose one")
        if all(owners[metric.name] is evaluator for metric in metrics_of(evaluator)):
            by_scope[evaluator.built.scope].append(evaluator)  # says now what it lacks
    return by_scope


def without(resolved: Resolved, hidden: Collection[str]) -> Resolved:
    """Less some of its options: what is left to show where those have a place of their own."""
    shown = {name: value for name, value in resolved.options.items() if name not in hidden}
    return replace(resolved, options=shown)


def brief(model: Resolved, kinds: Collection[str]) -> str:
    """Short text for a table: ``lsgm:prior=(weighting=reweighted)``.

    Components of these kinds are left out; one that is its owner's default shows what differs.
    """
    return ":".join(filter(None, (model.short, _differences(model, model.defaults, kinds))))


def _differences(own: Resolved, usual: Mapping[str, Any], kinds: Collection[str]) -> str:
    """``name=value`` for every option that is not the usual one."""
    told = []
    for name, value in sorted(own.options.items()):
        default = usual.get(name)
        if not isinstance(value, Resolved):
            told += [f"{name}={spell(value)}"] if value != default else []
        elif value.kind not in kinds:
            if isinstance(default, Resolved) and default.name == value.name:
                text = _differences(value, default.options, kinds)
                told += [f"{name}=({text})"] if text else []
            else:
                told.append(f"{name}={spell(brief(value, kinds))}")
    return ":".join(told)


def _told(evaluator: Resolved) -> str:
    """``classifier,reference=train``: extractors by their labels, then other changed options."""
    options = evaluator.schema.options
    hidden = [name for name in evaluator.options if options[name].kind == "extractor"]
    labels = (_extractor_label(evaluator.options[name]) for name in hidden)
    return ",".join(filter(None, (*labels, without(evaluator, hidden).changes)))


def _extractor_label(extractor: object) -> str:
    if not isinstance(extractor, Resolved):
        return "" if extractor is None else type(extractor).__name__
    return without(extractor, extractor.schema.cls.unnamed).label


def _adaptive(solver: Resolved, tolerances: Sequence[float]) -> Iterator[Choice]:
    """One choice for each tolerance, or for the solver's own if it was given one.

    Equal tolerances are the budget and no options: ``rk45:rtol=1e-4:atol=1e-4`` is the cell of
    rk45 with ``--tol 1e-4`` and looks like it.
    """
    names = [name for name in ("rtol", "atol") if name in solver.options]
    given = any(solver.options[name] != solver.defaults[name] for name in names)
    tuned = [solver]
    if names and not given:
        options = ({**solver.options, **dict.fromkeys(names, tol)} for tol in tolerances)
        tuned = [replace(solver, options=each) for each in options]
    for each in tuned:
        values = [each.options[name] for name in names]
        hidden = names if len(set(values)) == 1 else ()
        budget = f"tol={values[0]:g}" if values else ""
        yield Choice(each, without(each, hidden).changes, None, None, budget)


def _fixed(plan: Plan, solver: Resolved, cost: int, grid: Resolved, budget: int) -> Choice:
    closing = int(plan.rules.last == "mean")  # the last-step rule is a call like any other
    steps = (budget - closing) // cost if plan.nfe else budget
    spent = steps * cost + closing if steps > 0 else budget
    return Choice(solver, solver.changes, grid, max(steps, 0), f"nfe={spent}")
