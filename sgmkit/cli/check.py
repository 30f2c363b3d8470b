"""`sgmkit check`: components held against the conformance suite.

This module alone uses the suite, ``sgmkit.testing``; `info` asks it for the measured facts of a
solver.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from sgmkit.errors import UserError

if TYPE_CHECKING:
    from sgmkit.solvers import Solver


def check_command(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="A component by name, with options or without; a plugin; or package.module:Class.",
        ),
    ],
) -> None:
    """Check that a component, or all that a plugin offers, does what sgmkit requires of it."""
    from sgmkit.testing import check_target

    results = check_target(target)
    width = max(len(result.subject) + len(result.check) for result in results) + 1
    for result in results:
        title = f"{result.subject} {result.check.removeprefix('check_')}".ljust(width)
        print(f"{result.level:<5} {title}  {result.message or result.measured}".rstrip())
    levels = [result.level for result in results]
    words = (("ok", "ok"), ("warn", "to note"), ("skip", "not applicable"), ("fail", "failed"))
    counts = ", ".join(f"{levels.count(level)} {word}" for level, word in words)
    print(f"{len(results)} checks: {counts}")
    if "fail" in levels:
        raise UserError(f"{target}: {levels.count('fail')} of {len(results)} checks failed")


class Fact(NamedTuple):
    """A declared fact of a solver beside what the conformance suite measures of it."""

    name: str
    declared: str
    measured: str


def build_solver(spec: str) -> "Solver":
    """The solver that ``name[:key=value]...`` means; a small stand-in for each part it requires."""
    from sgmkit.testing import build

    return build("solver", spec)


def solver_facts(solver: "Solver") -> Iterator[Fact]:
    """Each declared fact, measured on the suite's reference processes where that takes seconds."""
    from sgmkit.testing import checks, perform

    by_name = {check.__name__: check for check in checks("solver", solver)}

    def measured(name: str, words: str = "") -> str:
        result = perform(by_name[name], solver, "")
        good = result.level == "ok"
        return words + result.measured if good else f"{result.level}: {result.message}"

    kind = "weak" if solver.stochastic else "strong"
    order = measured("check_adaptive_order" if solver.adaptive else "check_order")
    yield Fact(
        f"order ({kind})",
        str(solver.order),
        order.removeprefix(f"declared {solver.order}, measured "),
    )
    yield Fact("calls a step", str(solver.cost), measured("check_cost"))
    yield Fact("stochastic", _yes_or_no(solver.stochastic), measured("check_draws"))
    ends = measured("check_ends") if solver.adaptive else ""
    yield Fact("adaptive", _yes_or_no(solver.adaptive), ends)
    alone = ("check_coupled",) if solver.coupled else ("check_batch", "a sample alone is the same ")
    yield Fact("coupled batch", _yes_or_no(solver.coupled), measured(*alone))


def refusals(solver: "Solver") -> Iterator[str]:
    """A line for each reference process that the solver refuses, with its reason."""
    from sgmkit.convergence.reference_processes import describe, processes

    for sde in processes():
        if reason := solver.supports(sde):
            yield f"refuses {describe(sde)}: {reason}"


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"
