"""The verbs that work on models and results. Heavy imports stand inside them."""

import math
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from sgmkit.errors import BadValue, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sgmkit.plan import Plan
    from sgmkit.registry import Resolved

Number = TypeVar("Number", int, float)

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
    _one_of("--last", last, ("none", "mean"))
    _one_of("--start", start, ("prior", "exact"))
    # Names and values first, in words of their kind; only then anything that imports torch.
    axes = {
        "nfe": _wholes("--nfe", nfe or NFE) if not steps else [],
        "steps": _wholes("--steps", steps) if steps else [],
        "tol": _positives("--tol", tol),
        "t_min": _positive("--t-min", t_min) if t_min else None,
        "samples": _whole("--samples", samples, 2),
        "seeds": _whole("--seeds", seeds, 1),
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


def report(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="[PATH]...", help="Results; ./results by default.")
    ] = None,
    format: Annotated[
        str,
        typer.Option(
            help="table, markdown, latex, csv, json or html (as FILE's suffix says, else table)."
        ),
    ] = "",
    out: Annotated[
        str, typer.Option(metavar="FILE", help="Write there; .png, .svg and .pdf draw the figure.")
    ] = "",
) -> None:
    """Show results: solver x NFE for each model, SDE and metric."""
    from pathlib import Path

    from sgmkit.report import PICTURES, SUFFIXES, figure, render, write_report
    from sgmkit.results import load_results

    suffix = Path(out).suffix.lstrip(".")
    if out and not format and suffix not in (*PICTURES, *SUFFIXES):
        known = ", ".join(f".{name}" for name in (*SUFFIXES, *PICTURES))
        raise BadValue(f"--out {out!r} ends in none of {known}; say --format")
    frame = load_results(*(paths or ()))
    if not format and suffix in PICTURES:
        figure(frame, out)
    elif out:
        write_report(frame, format or SUFFIXES[suffix], out)
    else:
        print(render(frame, format or "table"), end="")


def check(
    target: Annotated[str, typer.Argument(help="A component, a plugin, or package.module:Class.")],
) -> None:
    """Hold a component, or all of a plugin, against the conformance suite."""
    from sgmkit.testing import check_target

    results = check_target(target)
    width = max(len(result.subject) + len(result.check) for result in results) + 1
    for result in results:
        where = f"{result.subject} {result.check.removeprefix('check_')}".ljust(width)
        print(f"{result.level:<5} {where}  {result.message or result.measured}".rstrip())
    levels = [result.level for result in results]
    words = (("ok", "ok"), ("warn", "to note"), ("skip", "not applicable"), ("fail", "failed"))
    counts = ", ".join(f"{levels.count(level)} {word}" for level, word in words)
    print(f"{len(results)} checks: {counts}")
    if "fail" in levels:
        raise UserError(f"{target}: {levels.count('fail')} of {len(results)} checks failed")


def _bench(plan: "Plan", out: str, fresh: bool) -> None:
    from sgmkit.bench import Tally, run
    from sgmkit.results import Store

    tally, total = Tally(), 0

    def watch(done: int, jobs: int, label: str) -> None:
        nonlocal total
        total = jobs
        show(done, jobs, label)

    try:
        with _progress() as show:
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


@contextmanager
def _progress() -> "Iterator[Callable[[int, int, str], None]]":
    """A progress bar on standard error, where that is a terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, label: bar.update(
            task, completed=done, total=total, description=label
        )


def _one_of(name: str, value: str, known: Sequence[str]) -> None:
    from sgmkit.options import near

    if value not in known:
        raise BadValue(f"{name} takes {' or '.join(known)}, not {value!r}{near(value, known)}")


def _whole(name: str, text: str, least: int) -> int:
    return _number(name, text, int, f"a whole number of at least {least}", least)


def _wholes(name: str, text: str) -> list[int]:
    what = "whole numbers of at least 1, separated by commas"
    return [_number(name, word, int, what, 1) for word in text.split(",")]


def _positive(name: str, text: str, what: str = "a positive number") -> float:
    return _number(name, text, float, what, 5e-324)


def _positives(name: str, text: str) -> list[float]:
    what = "positive numbers, separated by commas"
    return [_positive(name, word, what) for word in text.split(",")]


def _number(
    name: str, text: str, kind: Callable[[str], Number], what: str, least: Number
) -> Number:
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not least <= value < math.inf:
        raise BadValue(f"{name} takes {what}; {text!r} is not one")
    return value
