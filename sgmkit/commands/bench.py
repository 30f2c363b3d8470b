"""`sgmkit bench`: what the command line says, as a plan; then its cells."""

import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgmkit.commands.progress import progress
from sgmkit.commands.values import one_of, positive, positives, whole, wholes
from sgmkit.errors import BadValue, UserError

if TYPE_CHECKING:
    from sgmkit.plan import Plan
    from sgmkit.registry import Resolved

NFE = "10,20,50,100"
# Qualified, so that no plugin can make the defaults ambiguous by offering a name twice.
SDES = "sdes/vp,sdes/cld"
EVALUATORS = (
    "evaluators/sliced-wasserstein,evaluators/energy-distance,evaluators/trajectory,evaluators/nll"
)


def bench(
    solvers: Annotated[str, typer.Option(help="Solvers with options: euler,heun:churn=0.5.")],
    nfe: Annotated[
        str, typer.Option(metavar="N,N,...", help=f"Budgets in network calls ({NFE}).")
    ] = "",
    steps: Annotated[str, typer.Option(metavar="N,N,...", help="Budgets in steps instead.")] = "",
    tol: Annotated[
        str, typer.Option(metavar="X,X,...", help="Tolerances of adaptive solvers.")
    ] = "1e-3",
    grid: Annotated[
        str, typer.Option(help="Time grids.", show_default="logsnr")
    ] = "solvers/logsnr",
    t_min: Annotated[
        str, typer.Option(metavar="T", help="Where grids end (the model's own).")
    ] = "",
    last: Annotated[str, typer.Option(help="Last-step rule: none or mean.")] = "none",
    start: Annotated[str, typer.Option(help="Start: prior or exact.")] = "prior",
    evaluators: Annotated[
        str,
        typer.Option(
            help="Who looks at the samples (distances, the solver's error, likelihood).",
            show_default=False,
        ),
    ] = EVALUATORS,
    samples: Annotated[str, typer.Option(metavar="N", help="Samples in each cell.")] = "1000",
    seeds: Annotated[str, typer.Option(metavar="N", help="Seeds in each cell.")] = "3",
    model: Annotated[
        str, typer.Option(help="A model that needs no training.", show_default="exact")
    ] = "exact/exact",
    sde: Annotated[
        str, typer.Option(help="Forward processes with options.", show_default="vp,cld")
    ] = SDES,
    data: Annotated[
        str, typer.Option(help="Data sets.", show_default="eight-gaussians")
    ] = "datasets/eight-gaussians",
    out: Annotated[str, typer.Option(metavar="DIR", help="Where results go.")] = "results",
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Compute again what is found; after a change of code.")
    ] = False,
) -> None:
    """Compare solvers: every model x SDE x solver x budget on the same data and noise."""
    from sgmkit.options import parse_list
    from sgmkit.registry import resolve

    def resolved(kind: str, text: str) -> "list[Resolved]":
        return [resolve(kind, {"name": name, **given}) for name, given in parse_list(text)]

    if nfe and steps:
        raise BadValue("give --nfe or --steps, not both")
    one_of("--last", last, ("none", "mean"))
    one_of("--start", start, ("prior", "exact"))
    # Names and values first, in words of their kind; only then anything that imports torch.
    axes = {
        "nfe": wholes("--nfe", nfe or NFE) if not steps else [],
        "steps": wholes("--steps", steps) if steps else [],
        "tol": positives("--tol", tol),
        "t_min": positive("--t-min", t_min) if t_min else None,
        "samples": whole("--samples", samples, 2),
        "seeds": whole("--seeds", seeds, 1),
    }
    if not out:
        raise BadValue("--out takes the name of a directory, not ''")
    chosen = {
        "solvers": resolved("solver", solvers),
        "grids": resolved("grid", grid),
        "evaluators": resolved("evaluator", evaluators),
    }
    processes, sets = resolved("sde", sde), resolved("dataset", data)

    from sgmkit.experiment import Subject
    from sgmkit.plan import Plan

    subjects = [Subject.of(model, process, law) for law in sets for process in processes]
    rules: dict[str, Any] = {"last": last, "start": start}
    _bench(Plan(subjects, **chosen, **axes, **rules), out, fresh)


def _bench(plan: "Plan", out: str, fresh: bool) -> None:
    from sgmkit.bench import Tally, run
    from sgmkit.results import Store

    tally, total = Tally(), 0

    def watch(done: int, jobs: int, label: str) -> None:
        nonlocal total
        total = jobs
        show(done, jobs, label)

    try:
        with progress() as show:
            run(plan, Store(out), watch, tally, fresh)
    except KeyboardInterrupt:
        if not total:  # the cells are not even known
            raise
        kept = tally.computed + tally.found + tally.inapplicable + tally.failed
        raise UserError(
            f"interrupted: {kept} of {total} cells are in '{out}'; "
            "the same command goes on from there"
        ) from None
    for reason, labels in tally.troubles.items():
        others = f" and {len(labels) - 1} more" if len(labels) > 1 else ""
        print(f"failed: {reason} ({labels[0]}{others})", file=sys.stderr)
    counts = f"{tally.computed} computed, {tally.found} found, {tally.inapplicable} not applicable"
    where = "" if out == "results" else f" {shlex.quote(out)}"
    print(f"{total} cells: {counts}, {tally.failed} failed (sgmkit report{where} shows them)")
    if tally.failed:
        raise typer.Exit(1)
