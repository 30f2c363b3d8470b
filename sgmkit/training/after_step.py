"""What happens between steps: the log, checkpoints and pictures, and whether to go on."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from shlex import quote
from typing import Any

import torch

from sgmkit.errors import UserError
from sgmkit.training.checkpoint import Facts
from sgmkit.training.log import Log
from sgmkit.training.loop import Training
from sgmkit.training.meter import Diverged, with_advice
from sgmkit.training.recipe import Experiment
from sgmkit.training.run import LOG, SAMPLES, Run
from sgmkit.training.sample_pictures import draw

ShowProgress = Callable[[int, int, str], None]
"""Called after each step with the steps done, the steps in all, and a summary of the log's last
line."""


class AfterStep:
    """Called after each step: logs, draws samples, writes checkpoints, and says whether to go on.

    Only the first process writes files. When one is written, all processes meet: they learn whether
    that succeeded, and whether the user interrupted any of them.

    Args:
        training: in progress.
        experiment: what is trained.
        run: the run directory.
        show: shows the progress to the user.
        interrupted: whether the user has interrupted this process.

    Attributes:
        label: summary of the log's last line.
    """

    def __init__(
        self,
        training: Training,
        experiment: Experiment,
        run: Run,
        show: ShowProgress,
        interrupted: Callable[[], bool],
    ) -> None:
        self.training, self.experiment, self.run = training, experiment, run
        self._show, self._interrupted = show, interrupted
        self.label = ""
        self._first = training.fabric.is_global_zero
        self._begin, self._seconds_before = time.perf_counter(), 0.0
        if self._first:
            self._log = Log(run.path / LOG, training.state.step)
            self._seconds_before = self._log.seconds
            run.delete_unfinished()
        training.meter.start()

    def __call__(self) -> bool:
        """Do what is due after a step. Returns False to end the training here."""
        settings, step = self.training.settings, self.training.state.step
        last = step == settings.steps
        # A single process stops after any step; several stop where they meet anyway.
        stop_now = self.training.fabric.world_size == 1 and self._interrupted()
        save = last or stop_now or step % settings.checkpoint_every == 0
        picture = settings.samples_every and (last or step % settings.samples_every == 0)
        if save or picture or step % settings.log_every == 0:
            stop = self._meet(save, bool(picture))
            self.training.meter.start()
            return not stop
        if self._first:
            self._show(step, settings.steps, self.label)
        return True

    def _meet(self, save: bool, picture: bool) -> bool:
        """Write what is due, and bring all processes together.

        Returns:
            Whether the user has interrupted any of the processes.

        Raises:
            Diverged: where a loss or gradient since the last line is not finite.
            UserError: where a file could not be written.
        """
        fabric, state = self.training.fabric, self.training.state
        try:
            line = self.training.meter.read(state.step, self.training.objective.module.names)
        except Diverged as error:
            raise with_advice(error, self.run.last_good()[0]) from None
        interruptions = torch.tensor(float(self._interrupted()), device=fabric.device)
        stop = bool(fabric.all_reduce(interruptions, reduce_op="sum"))
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
        """Write picture, log and checkpoint, in this order.

        The checkpoint comes last: a process that is killed in between goes on from the one before,
        and writes the others again.
        """
        state, settings = self.training.state, self.training.settings
        if picture:
            path = self.run.path / SAMPLES / f"step-{state.step:08d}.png"
            draw(state, self.experiment.dataset.value_range, self.experiment.seed, path)
        seconds = self._seconds_before + time.perf_counter() - self._begin
        self._log.write({**line, "lr": state.rate, "seconds": round(seconds, 3)})
        if save:
            facts = Facts(
                step=state.step,
                samples=state.step * settings.batch,
                seed=self.experiment.seed,
                experiment=self.experiment.hash,
                progress=state.progress,
            )
            self.run.save_checkpoint(state.tensors(), facts, settings.keep)


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Let the step in progress end after Ctrl-C; a second Ctrl-C stops at once.

    Yields a function that says whether Ctrl-C was pressed.
    """
    signals: list[int] = []

    def remember(number: int, frame: object) -> None:
        if signals:
            raise KeyboardInterrupt
        signals.append(number)

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield lambda: bool(signals)
    finally:
        signal.signal(signal.SIGINT, before)
