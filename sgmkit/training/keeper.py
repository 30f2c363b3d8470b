"""What is due between steps: lines of the log, checkpoints, pictures, and whether to go on."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from shlex import quote
from typing import Any

import torch

from sgmkit.errors import UserError
from sgmkit.training import checkpoint
from sgmkit.training.checkpoint import Facts
from sgmkit.training.journal import Journal
from sgmkit.training.loop import Training
from sgmkit.training.meter import Diverged, stopped_at
from sgmkit.training.recipe import Experiment
from sgmkit.training.run import CHECKPOINTS, LOG, SAMPLES, Run, checkpoint_path
from sgmkit.training.sample_pictures import draw

Show = Callable[[int, int, str], None]
"""Told after each step: steps done, steps in all, and the last line of the log in short."""


class Keeper:
    """Asked after each step. The first process writes, all of them learn how that went.

    Args:
        training: what goes on.
        experiment: what is trained.
        run: its directory.
        show: for the user.
        interrupted: whether the user wants to stop.
    """

    def __init__(
        self,
        training: Training,
        experiment: Experiment,
        run: Run,
        show: Show,
        interrupted: Callable[[], bool],
    ) -> None:
        self.training, self.experiment, self.run = training, experiment, run
        self._show, self._interrupted = show, interrupted
        self.label = ""
        self._first = training.fabric.is_global_zero
        self._begin, self._before = time.perf_counter(), 0.0
        if self._first:
            self._journal = Journal(run.path / LOG, training.state.step)
            self._before = self._journal.seconds
            for half in (run.path / CHECKPOINTS).glob(".*.tmp"):  # of a process that was killed
                half.unlink()
        training.meter.start()

    def __call__(self) -> bool:
        """Do what is due; False to stop here."""
        settings, step = self.training.settings, self.training.state.step
        last = step == settings.steps
        # One process stops after any step; several where they meet anyway.
        asked = self._interrupted() if self.training.fabric.world_size == 1 else False
        save = last or asked or step % settings.checkpoint_every == 0
        picture = settings.samples_every and (last or step % settings.samples_every == 0)
        if save or picture or step % settings.log_every == 0:
            stop = self._meet(save, bool(picture))
            self.training.meter.start()
            return not stop
        if self._first:
            self._show(step, settings.steps, self.label)
        return True

    def _meet(self, save: bool, picture: bool) -> bool:
        """Read the meter, write files; whether any process was interrupted."""
        fabric, state = self.training.fabric, self.training.state
        try:
            line = self.training.meter.read(state.step, self.training.objective.module.names)
        except Diverged as error:
            raise stopped_at(error, self.run.last_good()[0]) from None
        told = torch.tensor(float(self._interrupted()), device=fabric.device)
        stop = bool(fabric.all_reduce(told, reduce_op="sum"))
        trouble = ""
        if self._first:
            try:
                self._write(line, save or stop, picture)
            except OSError as error:
                trouble = error.strerror or str(error)
        if trouble := fabric.broadcast(trouble):
            raise UserError(
                f"cannot write in '{self.run.path}': {trouble}; once there is room, "
                f"sgmkit train --resume --out {quote(str(self.run.path))} goes on"
            )
        self.label = f"loss {line['loss']:.4g}, {line['images_per_second']:.0f} images/s"
        if self._first:
            self._show(state.step, self.training.settings.steps, self.label)
        return stop

    def _write(self, line: dict[str, Any], save: bool, picture: bool) -> None:
        """The checkpoint last: what a killed process had not come to is done again."""
        state = self.training.state
        if picture:
            path = self.run.path / SAMPLES / f"step-{state.step:08d}.png"
            draw(state, self.experiment.dataset.value_range, self.experiment.seed, path)
        seconds = self._before + time.perf_counter() - self._begin
        self._journal.write({**line, "lr": state.rate, "seconds": round(seconds, 3)})
        if save:
            save_checkpoint(self.training, self.experiment, self.run)


def save_checkpoint(training: Training, experiment: Experiment, run: Run) -> None:
    """Write a checkpoint; once it is safe, delete all but the newest ``keep``."""
    state, settings = training.state, training.settings
    facts = Facts(
        step=state.step,
        samples=state.step * settings.batch,
        seed=experiment.seed,
        experiment=experiment.hash,
        progress=state.progress,
    )
    path = checkpoint_path(run.path, state.step)
    path.parent.mkdir(exist_ok=True)
    checkpoint.write(path, state.tensors(), facts)
    for old in run.checkpoints()[: -settings.keep]:
        old.unlink()


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C is noted, for the step to end; a second one stops at once."""
    asked: list[int] = []

    def note(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before)
