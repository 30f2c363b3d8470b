"""`sgmkit train`: from options to an experiment and a run directory, and progress on the way."""

import shlex
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgmkit.cli.progress import progress
from sgmkit.cli.values import choice, whole_number
from sgmkit.errors import BadValue, UserError

if TYPE_CHECKING:
    from sgmkit.training.devices import Devices
    from sgmkit.training.recipe import Experiment

EVERY = 10.0
"""Seconds between two lines of progress if standard error is not a terminal."""


def train_command(
    model: Annotated[
        str,
        typer.Option(metavar="NAME", help="Model, with options or without.", show_default="sgm"),
    ] = "",
    sde: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Forward process of the innermost model.", show_default="vp"
        ),
    ] = "",
    data: Annotated[
        str, typer.Option(metavar="NAME", help="Data set to learn.", show_default="digits")
    ] = "",
    network: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Network of the innermost model.",
            show_default="unet for images, mlp for vectors",
        ),
    ] = "",
    recipe: Annotated[
        str,
        typer.Option(metavar="FILE", help="Start from this TOML file; options override it."),
    ] = "",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Set one entry of the recipe, such as train.lr=1e-3 or model.sde.beta_0=5; may "
            "be repeated.",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            parser=whole_number(1),
            help="Optimiser steps in all, those before a resumption included.",
            show_default="5000",
        ),
    ] = None,
    out: Annotated[
        str,
        typer.Option(
            metavar="DIR", help="Run directory to write.", show_default="runs/MODEL-SDE-DATA-HASH"
        ),
    ] = "",
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            parser=whole_number(0),
            help="Seed of initial weights, data order and noise.",
            show_default="0",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            metavar="",
            help="Continue the run where it stopped; a larger --steps extends it.",
        ),
    ] = False,
    devices: Annotated[
        int,
        typer.Option(
            metavar="N", parser=whole_number(1), help="GPUs to use; without a GPU, CPU processes."
        ),
    ] = 1,
    nodes: Annotated[
        int, typer.Option(metavar="N", parser=whole_number(1), help="Machines to use.")
    ] = 1,
    strategy: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            parser=choice("auto", "ddp"),
            help="How several devices work together: auto or ddp.",
        ),
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(metavar="NAME", help="Arithmetic: 32, bf16-mixed or 64.", show_default="32"),
    ] = "",
    compile_: Annotated[
        bool,
        typer.Option(
            "--compile", metavar="", help="Compile the networks: slower to start, faster to train."
        ),
    ] = False,
) -> None:
    """Train a model and store checkpoints with its averaged weights."""
    edits = [f"train.steps={steps}"] if steps is not None else []
    edits += [f"seed={seed}"] if seed is not None else []
    edits += [f"train.precision={precision}"] if precision else []
    chosen: dict[str, Any] = {"model": model, "sde": sde, "network": network, "data": data}
    chosen["sets"] = [*edits, *(set_ or ())]
    experiment, path = _experiment_and_directory(recipe, chosen, out, resume)

    from sgmkit.training.devices import Devices

    _train(experiment, path, Devices(devices, nodes, strategy, compile_))


def _experiment_and_directory(
    recipe: str, chosen: Mapping[str, Any], out: str, resume: bool
) -> "tuple[Experiment, Path]":
    """The experiment to train and the directory of its run.

    Complains about a directory that is in use, or that holds another run.
    """
    from sgmkit.training.recipe import Experiment, read_recipe
    from sgmkit.training.run import EXPERIMENT, RUNS, Run, is_run

    tree = read_recipe(recipe) if recipe else None
    experiment = None if resume and is_run(Path(out)) else Experiment.of(tree, **chosen)
    path = Path(out or f"{RUNS}/{experiment.name if experiment else ''}")
    if not is_run(path):
        named = recipe or any(value for key, value in chosen.items() if key != "sets")
        if resume and out and not named:
            raise BadValue(
                f"nothing to resume in '{path}': leave out --resume to start a training there"
            )
        _check_free(path)
    elif not resume:
        raise BadValue(f"'{path}' holds a run: --resume continues it, --out writes elsewhere")
    else:  # options that are not repeated keep their values in the run
        experiment = Experiment.of(tree or read_recipe(path / EXPERIMENT), **chosen)
        if change := Run(path).experiment.difference(experiment):
            key, before, now = change
            raise BadValue(
                f"'{path}' was trained with {key}={before}, not {now}: "
                "leave that unchanged, or train another run with --out"
            )
    assert experiment is not None
    return experiment, path


def _check_free(path: Path) -> None:
    """Complain unless a run can begin here; a half-written file of a killed process is ignored."""
    if path.exists() and not path.is_dir():
        raise BadValue(f"'{path}' is a file; choose another --out")
    entries = path.iterdir() if path.exists() else ()
    if not all(entry.name.startswith(".") and entry.suffix == ".tmp" for entry in entries):
        raise BadValue(f"'{path}' is not empty and holds no run; choose another --out")


def _train(experiment: "Experiment", path: Path, machine: "Devices") -> None:
    from sgmkit.training.fit import fit

    with ExitStack() as stack:
        watch = _Watch(stack)
        outcome = fit(experiment, path, machine, watch, lambda line: print(line, file=sys.stderr))
    if outcome is None:  # the first process reports for all
        return
    steps = experiment.settings.steps
    if outcome.step < steps:
        raise UserError(
            f"interrupted: step {outcome.step} of {steps} is in '{path}'; "
            f"sgmkit train --resume --out {shlex.quote(str(path))} continues it"
        )
    if outcome.before == outcome.step:
        print(f"{path}: {outcome.step} steps are done already; a larger --steps continues")
    else:
        print(f"{path}: {outcome.step} steps, {outcome.label}")


class _Watch:
    """Shows progress: a bar on a terminal, else a line on standard error every `EVERY` seconds.

    The bar appears at the first step, so that processes other than the first show none.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._stack, self._bar = stack, None
        self._every = 0.1 if sys.stderr.isatty() else EVERY

    def __call__(self, done: int, total: int, label: str) -> None:
        now = time.monotonic()
        if self._bar is None:
            self._bar = self._stack.enter_context(progress())
            self._begin, self._first, self._last = now, done, now
        if now - self._last < self._every:
            return
        self._last = now
        self._bar(done, total, label)
        if self._every == EVERY and done > self._first:
            left = (now - self._begin) / (done - self._first) * (total - done)
            minutes, seconds = divmod(round(left), 60)
            details = ", ".join(filter(None, (label, f"{minutes}:{seconds:02d} left")))
            print(f"step {done} of {total}: {details}", file=sys.stderr, flush=True)
