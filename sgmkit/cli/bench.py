"""`sgmkit bench`: what the command line says, as a plan; then its cells."""

import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgmkit.cli.progress import progress
from sgmkit.cli.values import one_of, positive, positives, whole, wholes
from sgmkit.errors import BadValue, UserError
from sgmkit.registry import defaults
from sgmkit.training.allocator import keep_memory

if TYPE_CHECKING:
    from sgmkit.benching.plan import Plan
    from sgmkit.benching.subject import Subject
    from sgmkit.registry import Resolved

NFE, TOL = "10,20,50,100", "1e-3"


def bench_command(
    ctx: typer.Context,
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help="Trained runs; all of ./runs by default."),
    ] = None,
    *,
    solvers: Annotated[str, typer.Option(help="Solvers with options: euler,heun:churn=0.5.")],
    nfe: Annotated[
        str, typer.Option(metavar="N,N,...", help=f"Budgets in network calls ({NFE}).")
    ] = "",
    steps: Annotated[str, typer.Option(metavar="N,N,...", help="Budgets in steps instead.")] = "",
    tol: Annotated[
        str | None,
        typer.Option(metavar="X,X,...", help="Tolerances of adaptive solvers.", show_default=TOL),
    ] = None,
    grid: Annotated[str, typer.Option(help="Time grids.", show_default="logsnr")] = defaults.GRID,
    t_min: Annotated[
        str, typer.Option(metavar="T", help="Where grids end (the model's own).")
    ] = "",
    last: Annotated[str, typer.Option(help="Last-step rule: none or mean.")] = "none",
    start: Annotated[str, typer.Option(help="Start: prior or exact.")] = "prior",
    images: Annotated[str, typer.Option(help="Of a decoder: its mean, or a sample.")] = "mean",
    evaluators: Annotated[
        str,
        typer.Option(
            help="Who looks at the samples (FID and likelihood of trained images; else distances, "
            "the solver's error, likelihood)."
        ),
    ] = "",
    samples: Annotated[str, typer.Option(metavar="N", help="Samples in each cell.")] = "1000",
    seeds: Annotated[str, typer.Option(metavar="N", help="Seeds in each cell.")] = "3",
    model: Annotated[
        str, typer.Option(help="A model that needs no training, in place of runs (exact).")
    ] = "",
    sde: Annotated[str, typer.Option(help="Its forward processes with options (vp,cld).")] = "",
    data: Annotated[str, typer.Option(help="Its data sets (eight-gaussians).")] = "",
    out: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Where results go.", show_default="results"),
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh", metavar="", help="Compute stored cells again, say after a change of code."
        ),
    ] = False,
    convergence: Annotated[
        bool,
        typer.Option(
            "--convergence",
            metavar="",
            help="Measure orders instead: error against NFE with slopes, on exact models; the "
            "figure and rows go to --out DIR or FILE.png (convergence).",
        ),
    ] = False,
) -> None:
    """Compare solvers: every model x SDE x solver x budget on the same data and noise."""
    if convergence:
        _convergence(ctx, solvers, sde, data, nfe, tol, out)
        return
    if nfe and steps:
        raise BadValue("give --nfe or --steps, not both")
    one_of("--last", last, ("none", "mean"))
    one_of("--start", start, ("prior", "exact"))
    one_of("--images", images, ("mean", "sample"))
    # Names and values first, in words of their kind; only then anything that imports torch.
    axes = {
        "nfe": wholes("--nfe", nfe or NFE) if not steps else [],
        "steps": wholes("--steps", steps) if steps else [],
        "tol": positives("--tol", TOL if tol is None else tol),
        "t_min": positive("--t-min", t_min) if t_min else None,
        "samples": whole("--samples", samples, 2),
        "seeds": whole("--seeds", seeds, 1),
    }
    if out == "":
        raise BadValue("--out takes the name of a directory, not ''")
    chosen = {
        "solvers": _resolved("solver", solvers),
        "grids": _resolved("grid", grid),
    }
    judges = _resolved("evaluator", evaluators) if evaluators else []
    subjects = _subjects(runs or [], model, sde, data)
    chosen["evaluators"] = judges or _judges(subjects)

    from sgmkit.benching.plan import Plan
    from sgmkit.models import SamplingRules

    rules: dict[str, Any] = {"last": last, "start": start, "images": images}
    _bench(Plan(subjects, **chosen, **axes, rules=SamplingRules(**rules)), out or "results", fresh)


def _convergence(
    ctx: typer.Context,
    solvers: str,
    sde: str,
    data: str,
    nfe: str,
    tol: str | None,
    out: str | None,
) -> None:
    from sgmkit.cli import convergence

    convergence.check_flags(ctx)
    if out == "":
        raise BadValue("--out takes a directory or the name of a picture, not ''")
    chosen = _resolved("solver", solvers), _resolved("sde", sde or defaults.EXACT_SDES)
    sets = _resolved("dataset", data or defaults.CONVERGENCE_DATASET)
    convergence.measure_convergence(*chosen, sets, nfe, tol, out or convergence.OUT)


def _subjects(runs: list[str], model: str, sde: str, data: str) -> "list[Subject]":
    """The runs that were named; the models that were asked for; all runs there are; a default."""
    from sgmkit.training.run import RUNS, Run, find_runs

    asked = model or sde or data
    if runs and asked:
        raise BadValue("a run has its model, sde and data: name runs, or --model, --sde and --data")
    found = [Run(path) for path in runs] if runs else [] if asked else find_runs(RUNS)
    processes = [] if found else _resolved("sde", sde or defaults.EXACT_SDES)
    sets = [] if found else _resolved("dataset", data or defaults.EXACT_DATASET)

    from sgmkit.benching.subject import Subject, on_shared_data

    name = model or defaults.EXACT_MODEL
    exact = [Subject.of(name, process, law) for law in sets for process in processes]
    return on_shared_data([Subject.trained(run) for run in found] or exact)


def _judges(subjects: "list[Subject]") -> "list[Resolved]":
    """By default: FID on a classifier of the runs' own images and likelihood, else distances.

    Images in colour, and runs on several data sets, get the field's Inception features.
    """
    from sgmkit.registry import resolve

    if not any(subject.source for subject in subjects):
        return _resolved("evaluator", defaults.EXACT_EVALUATORS)
    events = [subject.event for subject in subjects]
    if any(len(event) != 3 for event in events):
        return _resolved("evaluator", defaults.VECTOR_EVALUATORS)
    sets = {subject.data.label: subject.data for subject in subjects}
    grey = len(sets) == 1 and events[0][0] == 1
    law = next(iter(sets.values())).describe()
    classifier = {"name": defaults.GREY_EXTRACTOR, "data": law}
    extractor = classifier if grey else {"name": defaults.COLOUR_EXTRACTOR}
    fid = resolve("evaluator", {"name": defaults.IMAGE_EVALUATOR, "extractor": extractor})
    return [fid, *_resolved("evaluator", defaults.LIKELIHOOD)]


def _resolved(kind: str, text: str) -> "list[Resolved]":
    from sgmkit.registry import resolve
    from sgmkit.registry.options import parse_list

    return [resolve(kind, {"name": name, **given}) for name, given in parse_list(text)]


def _bench(plan: "Plan", out: str, fresh: bool) -> None:
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
        if not total:  # the cells are not even known
            raise
        kept = tally.computed + tally.found + tally.inapplicable + tally.failed
        raise UserError(
            f"interrupted: {kept} of {total} cells are in '{out}'; "
            "the same command goes on from there"
        ) from None
    for reason, failure in tally.failures.items():
        first, *more = failure.labels
        others = f" and {len(more)} more" if more else ""
        print(f"failed: {reason} ({first}{others})", file=sys.stderr)
    counts = f"{tally.computed} computed, {tally.found} found, {tally.inapplicable} not applicable"
    where = "" if out == "results" else f" {shlex.quote(out)}"
    print(f"{total} cells: {counts}, {tally.failed} failed (sgmkit report{where} shows them)")
    if tally.failed:
        raise typer.Exit(1)
