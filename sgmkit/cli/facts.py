"""What a solver declares, beside what the conformance suite measures of it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from sgmkit.solvers import Solver

SAME = "a sample alone is the same "


def print_facts(out: "Console", spec: str) -> None:
    """A row for each declared fact, measured where that takes seconds; then what it refuses.

    A solver that cannot be built, or does not do what it declares, is told so in its place.
    """
    from sgmkit.errors import UserError
    from sgmkit.testing.suite import build

    try:
        solver: Solver = build("solver", spec)
    except UserError as error:
        out.print(f"not measured: {error}")
        return
    from sgmkit.cli.printing import table

    rows = table("fact", "declared", "measured")
    for name, declared, measured in _facts(solver):
        rows.add_row(name, declared, measured)
    out.print(rows)
    out.print(f"citation: {solver.citation or 'none'}")
    for line in _refusals(solver):
        out.print(line)


def _facts(solver: "Solver") -> list[tuple[str, str, str]]:
    """Name, declared and measured; on the suite's reference processes, named by their phases."""
    from sgmkit.testing import solver as suite
    from sgmkit.testing.result import Check, perform
    from sgmkit.testing.solver_accuracy import check_adaptive_order, check_order

    def measured(check: Check, words: str = "") -> str:
        found = perform(check, solver, "")
        told = found.measured.removeprefix(f"declared {solver.order}, measured ")
        return words + told if found.level == "ok" else f"{found.level}: {found.message}"

    def yes(value: bool) -> str:
        return "yes" if value else "no"

    kind = "weak" if solver.stochastic else "strong"
    order = check_adaptive_order if solver.adaptive else check_order
    batch = measured(suite.check_coupled) if solver.coupled else measured(suite.check_batch, SAME)
    return [
        (f"order ({kind})", str(solver.order), measured(order)),
        ("calls a step", str(solver.cost), measured(suite.check_cost)),
        ("stochastic", yes(solver.stochastic), measured(suite.check_draws)),
        ("adaptive", yes(solver.adaptive), measured(suite.check_ends) if solver.adaptive else ""),
        ("coupled batch", yes(solver.coupled), batch),
    ]


def _refusals(solver: "Solver") -> list[str]:
    from sgmkit.convergence.reference_processes import describe, processes

    answers = [(describe(sde), solver.supports(sde)) for sde in processes()]
    return [f"refuses {where}: {why}" for where, why in answers if why]
