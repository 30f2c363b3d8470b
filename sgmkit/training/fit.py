"""A training from its description to its last checkpoint: the function `fit`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lightning_fabric import Fabric

from sgmkit.data import Dataset
from sgmkit.errors import BadValue, UserError
from sgmkit.models import Model
from sgmkit.training.after_step import AfterStep, ShowProgress, interruptible
from sgmkit.training.batches import Batches
from sgmkit.training.devices import Devices, place_model
from sgmkit.training.loop import Training
from sgmkit.training.meter import Meter
from sgmkit.training.objective import Objective
from sgmkit.training.recipe import Experiment, Settings
from sgmkit.training.run import Run, is_run, write_experiment
from sgmkit.training.state import State

Warn = Callable[[str], None]
"""Called with a message of one line."""


@dataclass(frozen=True)
class Outcome:
    """Where a training ended.

    Args:
        run: the run directory.
        step: steps done in all.
        before: steps that were done already when this training began.
        label: summary of the log's last line; empty where nothing was left to do.
    """

    run: Run
    step: int
    before: int
    label: str


def fit(
    experiment: Experiment, path: Path, devices: Devices, show: ShowProgress, warn: Warn
) -> Outcome | None:
    """Train in the run directory ``path``, from its last good checkpoint where there is one.

    Everything is built before anything is written.

    Args:
        experiment: what to train.
        path: the run directory, which is made if need be.
        devices: where to train.
        show: shows the progress after each step.
        warn: called for each newer checkpoint that is not whole, and so is not used.

    Returns:
        None in all processes but the first, which reports the errors of all of them.

    Raises:
        Diverged: for a loss or a gradient that is not finite.
        UserError: for everything else that a user can change.
    """
    devices.check(experiment.settings)
    model = experiment.build()
    if not model.trainable:
        raise BadValue(f"model {experiment.model.short!r} has nothing to train with these options")
    good, cut_short = Run(path).last_good() if is_run(path) else (None, [])
    if good is None:
        adopt_pretrained(model)
    fabric = devices.launch(experiment.settings.precision, model.partial)
    try:
        place_model(model, fabric.device, devices.compile)
        data = experiment.dataset
        training = assemble(fabric, model, data, experiment.settings, experiment.seed)
        if fabric.is_global_zero:
            for trouble in cut_short:
                warn(f"{trouble}: going on from {good or 'the beginning'}")
        if good:
            training.state.restore(good)
        outcome = _train(training, experiment, path, show)
    except UserError:
        if fabric.is_global_zero:
            raise
        return None
    return outcome if fabric.is_global_zero else None


def adopt_pretrained(model: Model) -> None:
    """Let a new model take over parts of the run that its option ``pretrained`` names.

    Raises `BadValue` where there is no such run, or its parts do not fit.
    """
    if model.pretrained:
        run = Run(model.pretrained)
        model.adopt(run.load(), run.experiment.model.options)


def assemble(
    fabric: Fabric, model: Model, data: Dataset, settings: Settings, seed: int
) -> Training:
    """A training at step 0, of a model that is on the fabric's device."""
    state = State(model.train(), settings)
    objective, optimiser = fabric.setup(Objective(model, settings.accumulate), state.optimiser)
    share = (settings.accumulate, fabric.global_rank, fabric.world_size, fabric.device)
    batches = Batches(data, seed, settings.batch, *share)
    meter = Meter(fabric, settings.batch, settings.accumulate)
    return Training(fabric, settings, seed, state, objective, optimiser, batches, meter)


def _train(training: Training, experiment: Experiment, path: Path, show: ShowProgress) -> Outcome:
    state, settings = training.state, training.settings
    before, label = state.step, ""
    if state.step < settings.steps:
        _record(training.fabric, experiment, path)
        with interruptible() as interrupted:
            after_step = AfterStep(training, experiment, Run(path), show, interrupted)
            training.run(after_step)
        label = after_step.label
    return Outcome(Run(path), state.step, before, label)


def _record(fabric: Fabric, experiment: Experiment, path: Path) -> None:
    """Make the run directory. Where that fails, all processes raise `UserError`."""
    trouble = ""
    if fabric.is_global_zero:
        try:
            path.mkdir(parents=True, exist_ok=True)
            write_experiment(path, experiment)
        except OSError as error:
            trouble = error.strerror or str(error)
    if trouble := fabric.broadcast(trouble):
        raise UserError(f"cannot write in '{path}': {trouble}; choose another --out")
