"""A training from its description to its last checkpoint."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lightning_fabric import Fabric

from sgmkit.data import Dataset
from sgmkit.errors import BadValue, UserError
from sgmkit.models import Model
from sgmkit.training.batches import Batches
from sgmkit.training.keeper import Keeper, Show, interruptible
from sgmkit.training.loop import Training
from sgmkit.training.machine import Machine
from sgmkit.training.meter import Meter
from sgmkit.training.objective import Objective, prepare
from sgmkit.training.recipe import Experiment, Settings
from sgmkit.training.run import Run, is_run, write_experiment
from sgmkit.training.state import State

Note = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """Where a training ended.

    Args:
        run: its directory.
        step: steps done in all.
        before: of these, done by earlier processes.
        label: the last line of its log in short; empty where nothing was left to do.
    """

    run: Run
    step: int
    before: int
    label: str


def fit(
    experiment: Experiment, path: Path, machine: Machine, show: Show, note: Note
) -> Outcome | None:
    """Train in the run directory ``path``, from its last good checkpoint where there is one.

    Everything is built before anything is written. Returns None in all processes but the first,
    which tells the errors of all.

    Args:
        experiment: what to train.
        path: made where it is not there.
        machine: where to train.
        show: told after each step.
        note: told in one line of a checkpoint that is left aside.

    Raises:
        Diverged: for a loss or a gradient that is not finite.
        UserError: for all else that a user can change.
    """
    machine.check(experiment.settings)
    model = experiment.build()
    if not model.trainable:
        raise BadValue(f"model {experiment.model.short!r} has nothing to train with these options")
    good, aside = Run(path).last_good() if is_run(path) else (None, [])
    if good is None:
        adopt_pretrained(model)
    fabric = machine.launch(experiment.settings.precision, model.partial)
    try:
        prepare(model, fabric.device, machine.compile)
        data = experiment.dataset
        training = assemble(fabric, model, data, experiment.settings, experiment.seed)
        if fabric.is_global_zero:
            for line in aside:
                note(f"{line}: going on from {good or 'the beginning'}")
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
    """All that steps need, at step 0; ``model`` is on the fabric's device."""
    state = State(model.train(), settings)
    objective, optimiser = fabric.setup(Objective(model, settings.accumulate), state.optimiser)
    share = (settings.accumulate, fabric.global_rank, fabric.world_size, fabric.device)
    batches = Batches(data, seed, settings.batch, *share)
    meter = Meter(fabric, settings.batch, settings.accumulate)
    return Training(fabric, settings, seed, state, objective, optimiser, batches, meter)


def _train(training: Training, experiment: Experiment, path: Path, show: Show) -> Outcome:
    state, settings = training.state, training.settings
    before, label = state.step, ""
    if state.step < settings.steps:
        _record(training.fabric, experiment, path)
        with interruptible() as interrupted:
            keeper = Keeper(training, experiment, Run(path), show, interrupted)
            training.run(keeper)
        label = keeper.label
    return Outcome(Run(path), state.step, before, label)


def _record(fabric: Fabric, experiment: Experiment, path: Path) -> None:
    """Make the run directory; if that fails, all processes complain."""
    trouble = ""
    if fabric.is_global_zero:
        try:
            path.mkdir(parents=True, exist_ok=True)
            write_experiment(path, experiment)
        except OSError as error:
            trouble = error.strerror or str(error)
    if trouble := fabric.broadcast(trouble):
        raise UserError(f"cannot write in '{path}': {trouble}; choose another --out")
