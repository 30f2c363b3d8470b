"""`sgmkit train`: what the command line says, as an experiment and a run directory."""

import shlex
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgmkit.cli.progress import progress
from sgmkit.cli.values import one_of, whole
from sgmkit.errors import BadValue, UserError

if TYPE_CHECKING:
    from sgmkit.training.machine import Machine
    from sgmkit.training.recipe import Experiment

EVERY = 10.0
"""Seconds between two lines where standard error is no terminal."""


def train(
    model: Annotated[str, typer.Option(help="Model with options.", show_default="sgm")] = "",
    sde: Annotated[str, typer.Option(help="Forward process.", show_default="vp")] = "",
    data: Annotated[str, typer.Option(help="Data set.", show_default="digits")] = "",
    network: Annotated[
        str, typer.Option(help="Network.", show_default="unet; mlp for vectors")
    ] = "",
    recipe: Annotated[str, typer.Option(metavar="FILE", help="TOML; flags beat it.")] = "",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="train.lr=1e-3, model.sde.beta_0=5, ..."),
    ] = None,
    steps: Annotated[str, typer.Option(metavar="N", help="Steps in all.")] = "",
    out: Annotated[
        str, typer.Option(metavar="DIR", help="Run directory.", show_default="runs/NAME")
    ] = "",
    seed: Annotated[str, typer.Option(metavar="N", help="Of weights, data and noise.")] = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the run stopped; more --steps extend it.")
    ] = False,
    devices: Annotated[str, typer.Option(metavar="N", help="GPUs, or CPU processes.")] = "1",
    nodes: Annotated[str, typer.Option(metavar="N", help="Machines.")] = "1",
    strategy: Annotated[str, typer.Option(help="auto or ddp.")] = "auto",
    precision: Annotated[str, typer.Option(help="32, bf16-mixed or 64.")] = "",
    compile: Annotated[bool, typer.Option("--compile", help="Compile the networks.")] = False,
) -> None:
    """Train a model and keep its averaged weights; every flag has a default."""
    one_of("--strategy", strategy, ("auto", "ddp"))
    count = whole("--devices", devices, 1), whole("--nodes", nodes, 1)
    flags = {"--steps": (steps, "train.steps", 1), "--seed": (seed, "seed", 0)}
    edits = [f"{key}={whole(name, v, least)}" for name, (v, key, least) in flags.items() if v]
    edits += [f"train.precision={precision}"] if precision else []
    chosen: dict[str, Any] = {"model": model, "sde": sde, "network": network, "data": data}
    chosen["sets"] = [*edits, *(set_ or ())]
    experiment, path = _what(recipe, chosen, out, resume)

    from sgmkit.training.machine import Machine

    _train(experiment, path, Machine(*count, strategy, compile))


def _what(
    recipe: str, chosen: Mapping[str, Any], out: str, resume: bool
) -> "tuple[Experiment, Path]":
    """What to train, and where; complaints about a directory that is in use, or of another run."""
    from sgmkit.training.recipe import Experiment, read_recipe
    from sgmkit.training.run import EXPERIMENT, RUNS, Run, is_run

    told = read_recipe(recipe) if recipe else None
    asked = None if resume and is_run(Path(out)) else Experiment.of(told, **chosen)
    path = Path(out or f"{RUNS}/{asked.name if asked else ''}")
    if not is_run(path):
        named = recipe or any(value for key, value in chosen.items() if key != "sets")
        if resume and out and not named:
            raise BadValue(f"nothing to resume in '{path}': without --resume a training starts")
        _check_free(path)
    elif not resume:
        raise BadValue(f"'{path}' holds a run: --resume goes on with it, --out goes elsewhere")
    else:
        # What is not said again stays as it was.
        asked = Experiment.of(told or read_recipe(path / EXPERIMENT), **chosen)
        if change := Run(path).experiment.difference(asked):
            key, before, now = change
            raise BadValue(
                f"'{path}' was trained with {key}={before}, not {now}: "
                "leave that as it was, or train anew with another --out"
            )
    assert asked is not None
    return asked, path


def _check_free(path: Path) -> None:
    """Complain unless a run can begin here; what a killed process left half written is nothing."""
    if path.exists() and not path.is_dir():
        raise BadValue(f"'{path}' is a file; choose another --out")
    found = path.iterdir() if path.exists() else ()
    if not all(each.name.startswith(".") and each.suffix == ".tmp" for each in found):
        raise BadValue(f"'{path}' is not empty and holds no run; choose another --out")


def _train(experiment: "Experiment", path: Path, machine: "Machine") -> None:
    from sgmkit.training.fit import fit

    with ExitStack() as stack:
        watch = _Watch(stack)
        outcome = fit(experiment, path, machine, watch, lambda line: print(line, file=sys.stderr))
    if outcome is None:  # another process tells
        return
    steps = experiment.settings.steps
    if outcome.step < steps:
        raise UserError(
            f"interrupted: step {outcome.step} of {steps} is in '{path}'; "
            f"sgmkit train --resume --out {shlex.quote(str(path))} goes on from there"
        )
    if outcome.before == outcome.step:
        print(f"{path}: {outcome.step} steps are done already; more --steps go on")
    else:
        print(f"{path}: {outcome.step} steps, {outcome.label}")


class _Watch:
    """A bar on a terminal, else a line on standard error every now and then.

    Begins at the first step: other processes than the first never get there.
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
            told = ", ".join(filter(None, (label, f"{minutes}:{seconds:02d} left")))
            print(f"step {done} of {total}: {told}", file=sys.stderr, flush=True)
