"""`sgmkit bench`: the options become a plan, and the plan is run."""

import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgmkit.cli.progress import progress
from sgmkit.cli.values import (
    PositiveNumbers,
    WholeNumbers,
    choice,
    positive_number,
    positive_numbers,
    whole_number,
    whole_numbers,
)
from sgmkit.errors import BadValue, UserError
from sgmkit.registry import defaults
from sgmkit.training.allocator import keep_memory

if TYPE_CHECKING:
    from sgmkit.benching.plan import Plan
    from sgmkit.benching.runner import Tally
    from sgmkit.benching.subject import Subject
    from sgmkit.registry import Resolved

NFE = WholeNumbers((10, 20, 50, 100))
TOLERANCES = PositiveNumbers((1e-3,))
OUT = "results"
"""Defaults of ``--nfe``, ``--tol`` and ``--out``; `--convergence` has its own."""


def bench_command(
    ctx: typer.Context,
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN]...", help="Run directories to compare; by default all in ./runs."
        ),
    ] = None,
    *,
    solvers: Annotated[
        str,
        typer.Option(
            metavar="NAME,...", help="Solvers, with options or without: euler,heun:churn=0.5."
        ),
    ],
    nfe: Annotated[
        WholeNumbers | None,
        typer.Option(
            metavar="N,N,...",
            parser=whole_numbers,
            help="Budgets in network evaluations for each sample.",
            show_default="10,20,50,100",
        ),
    ] = None,
    steps: Annotated[
        WholeNumbers | None,
        typer.Option(
            metavar="N,N,...",
            parser=whole_numbers,
            help="Budgets in steps of the solver, in place of --nfe.",
            show_default=False,
        ),
    ] = None,
    tol: Annotated[
        PositiveNumbers | None,
        typer.Option(
            metavar="X,X,...",
            parser=positive_numbers,
            help="Tolerances of adaptive solvers.",
            show_default="1e-3",
        ),
    ] = None,
    grid: Annotated[
        str, typer.Option(metavar="NAME,...", help="Time grids.", show_default="logsnr")
    ] = defaults.GRID,
    t_min: Annotated[
        float | None,
        typer.Option(
            metavar="T",
            parser=positive_number,
            help="Time at which grids end.",
            show_default="the model's own",
        ),
    ] = None,
    last: Annotated[
        str,
        typer.Option(
            metavar="RULE",
            parser=choice("none", "mean"),
            help="After the last step: none, or mean, the posterior mean of the data.",
        ),
    ] = "none",
    start: Annotated[
        str,
        typer.Option(
            metavar="RULE",
            parser=choice("prior", "exact"),
            help="Draw u_T from the prior, or from its exact law where the model knows it.",
        ),
    ] = "prior",
    images: Annotated[
        str,
        typer.Option(
            metavar="RULE",
            parser=choice("mean", "sample"),
            help="mean or sample: whether a latent model's decoder returns the mean of its pixel "
            "distribution or a draw from it. Other models ignore it.",
        ),
    ] = "mean",
    evaluators: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help="What is measured. By default FID and likelihood for runs on images, distances "
            "to data and likelihood for other runs, and the solver's own error as well for exact "
            "models.",
        ),
    ] = "",
    samples: Annotated[
        int, typer.Option(metavar="N", parser=whole_number(2), help="Samples in each cell.")
    ] = 1000,
    seeds: Annotated[
        int,
        typer.Option(metavar="N", parser=whole_number(1), help="Seeds that each cell is run with."),
    ] = 3,
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Compare a model that needs no training instead of runs. By default (exact) only "
            "where --sde or --data is given or ./runs holds no run.",
            show_default="exact",
        ),
    ] = "",
    sde: Annotated[
        str,
        typer.Option(
            metavar="NAME,...", help="Forward processes of --model.", show_default="vp,cld"
        ),
    ] = "",
    data: Annotated[
        str,
        typer.Option(
            metavar="NAME,...", help="Data sets of --model.", show_default="eight-gaussians"
        ),
    ] = "",
    out: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Directory of the results.", show_default=OUT),
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh", metavar="", help="Compute stored cells again, say after a change of code."
        ),
    ] = False,
    traceback: Annotated[
        bool,
        typer.Option("--traceback", metavar="", help="Print the full traceback of each failure."),
    ] = False,
    convergence: Annotated[
        bool,
        typer.Option(
            "--convergence",
            metavar="",
            help="Measure orders instead: error against NFE with slopes, on exact models; the "
            "figure and rows go to --out, a directory or FILE.png; by default the directory "
            "convergence.",
        ),
    ] = False,
) -> None:
    """Compare solvers: every model x SDE x solver x budget on the same data and noise."""
    if convergence:
        _convergence(ctx, solvers, sde, data, nfe, tol, out)
        return
    if nfe and steps:
        raise BadValue("give --nfe or --steps, not both")
    if out == "":
        raise BadValue("--out takes the name of a directory, not ''")
    # Names first; only then anything that imports torch.
    resolved_solvers, resolved_grids = _resolved("solver", solvers), _resolved("grid", grid)
    resolved_evaluators = _resolved("evaluator", evaluators) if evaluators else []
    subjects = _subjects(runs or [], model, sde, data)

    from sgmkit.benching.plan import Plan
    from sgmkit.models import SamplingRules

    rules: dict[str, Any] = {"last": last, "start": start, "images": images}
    plan = Plan(
        subjects,
        resolved_solvers,
        resolved_grids,
        resolved_evaluators or _default_evaluators(subjects),
        nfe=() if steps else nfe or NFE,
        steps=steps or (),
        tol=tol or TOLERANCES,
        t_min=t_min,
        rules=SamplingRules(**rules),
        samples=samples,
        seeds=seeds,
    )
    _bench(plan, out or OUT, fresh, traceback)


def _convergence(
    ctx: typer.Context,
    solvers: str,
    sde: str,
    data: str,
    nfe: WholeNumbers | None,
    tol: PositiveNumbers | None,
    out: str | None,
) -> None:
    from sgmkit.cli import convergence

    convergence.check_flags(ctx)
    if out == "":
        raise BadValue("--out takes a directory or the name of a picture, not ''")
    convergence.measure_convergence(
        _resolved("solver", solvers),
        _resolved("sde", sde or defaults.EXACT_SDES),
        _resolved("dataset", data or defaults.CONVERGENCE_DATASET),
        nfe or convergence.NFE,
        tol or convergence.TOLERANCES,
        out or convergence.OUT,
    )


def _subjects(runs: list[str], model: str, sde: str, data: str) -> "list[Subject]":
    """The named runs; or ``model`` on each SDE and data set; or all runs there are; or the exact
    model on its defaults.
    """
    from sgmkit.training.run import RUNS, Run, find_runs

    names_model = bool(model or sde or data)
    if runs and names_model:
        raise BadValue("a run has its model, sde and data: name runs, or --model, --sde and --data")
    trained = [Run(path) for path in runs]
    if not runs and not names_model:
        trained = find_runs(RUNS)
    processes = [] if trained else _resolved("sde", sde or defaults.EXACT_SDES)
    sets = [] if trained else _resolved("dataset", data or defaults.EXACT_DATASET)

    from sgmkit.benching.subject import Subject, on_shared_data

    name = model or defaults.EXACT_MODEL
    exact = [Subject.of(name, process, law) for law in sets for process in processes]
    return on_shared_data([Subject.trained(run) for run in trained] or exact)


def _default_evaluators(subjects: "list[Subject]") -> "list[Resolved]":
    """For runs on images FID and likelihood, for other runs distances to data and likelihood; for
    exact models the solver's own error too.

    FID takes the features of a classifier of the runs' own images, if they are grey and of one
    data set, else those of the field's Inception network.
    """
    from sgmkit.registry import resolve

    if not any(subject.source for subject in subjects):
        return _resolved("evaluator", defaults.EXACT_EVALUATORS)
    events = [subject.event for subject in subjects]
    if any(len(event) != 3 for event in events):
        return _resolved("evaluator", defaults.VECTOR_EVALUATORS)
    descriptions = {subject.data.label: subject.data.describe() for subject in subjects}
    description, *others = descriptions.values()
    channels = events[0][0]
    extractor: dict[str, Any] = {"name": defaults.COLOUR_EXTRACTOR}
    if channels == 1 and not others:
        extractor = {"name": defaults.GREY_EXTRACTOR, "data": description}
    fid = resolve("evaluator", {"name": defaults.IMAGE_EVALUATOR, "extractor": extractor})
    return [fid, *_resolved("evaluator", defaults.LIKELIHOOD)]


def _resolved(kind: str, text: str) -> "list[Resolved]":
    """The components of a list such as ``euler,heun:churn=0.5``."""
    from sgmkit.registry import resolve
    from sgmkit.registry.options import parse_list

    return [resolve(kind, {"name": name, **options}) for name, options in parse_list(text)]


def _bench(plan: "Plan", out: str, fresh: bool, traceback: bool) -> None:
    """Run a plan and print what became of its cells.

    Raises:
        typer.Exit: status 1, if a cell failed.
    """
    from sgmkit.benching.runner import Tally, run
    from sgmkit.benching.store import Store

    keep_memory()
    tally, total = Tally(), 0

    def watch(done: int, jobs: int, label: str) -> None:
        nonlocal total
        total = jobs
        show(done, jobs, label)

    try:
        with progress() as show:
            run(plan, Store(out), watch, tally, fresh)
    except KeyboardInterrupt:
        if not total:  # it is not even known how many cells there are
            raise
        stored = tally.computed + tally.stored + tally.inapplicable + tally.failed
        raise UserError(
            f"interrupted: {stored} of {total} cells are in '{out}'; "
            "the same command goes on from there"
        ) from None
    _print_failures(tally, traceback)
    counts = f"{tally.computed} computed, {tally.stored} found, {tally.inapplicable} not applicable"
    path = "" if out == OUT else f" {shlex.quote(out)}"
    print(f"{total} cells: {counts}, {tally.failed} failed (sgmkit report{path} shows them)")
    if tally.failed:
        raise typer.Exit(1)


def _print_failures(tally: "Tally", traceback: bool) -> None:
    """One line on standard error for each reason, with the traceback of its first cell."""
    for reason, failure in tally.failures.items():
        first, *more = failure.labels
        others = f" and {len(more)} more" if more else ""
        print(f"failed: {reason} ({first}{others})", file=sys.stderr)
        if traceback and failure.traceback:
            print(failure.traceback, end="", file=sys.stderr)
