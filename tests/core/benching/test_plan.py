"""What a plan comes to: choices of solver and budget, and evaluators by scope."""

import pytest
from support.bench_fixtures import SMALL

from sgmkit.benching.plan import Evaluators, choices
from sgmkit.errors import BadValue


def test_budgets_that_come_to_the_same_steps_are_one_choice(planned):
    plan = planned(f"--solvers heun,euler --nfe 10,11 {SMALL}")
    pairs = [(choice.solver.short, choice.steps, choice.budget) for choice in choices(plan)]
    assert pairs == [("heun", 5, "nfe=10"), ("euler", 10, "nfe=10"), ("euler", 11, "nfe=11")]


def test_a_budget_that_pays_for_no_step_says_so(planned):
    (poor, rich) = choices(planned(f"--solvers heun --nfe 1,2 {SMALL}"))
    assert (poor.steps, poor.reason) == (0, "nfe=1 does not pay for one step of heun")
    assert (rich.steps, rich.reason) == (1, "")
    assert poor.identity != rich.identity


def test_evaluators_are_sorted_by_scope_and_each_counts_once(planned):
    evaluators = Evaluators.of(
        planned(f"--solvers euler {SMALL} --evaluators energy,nll,energy,nfe,nll:num=9")
    )
    assert [e.short for e in evaluators.cell] == ["energy-distance", "nfe"]
    assert [e.label for e in evaluators.model] == ["nll", "nll:num=9"]
    assert [e.short for e in evaluators.floor] == ["energy-distance"]


def test_two_evaluators_of_one_metric_are_refused(planned, parts):
    plan = planned(f"--solvers euler {SMALL} --evaluators energy,bench_parts/twin")
    with pytest.raises(BadValue, match="'energy-distance' and 'twin' both measure"):
        Evaluators.of(plan)
