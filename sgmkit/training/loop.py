"""The training loop, and one step of it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from lightning_fabric import Fabric
from torch import Tensor

from sgmkit.noise import seeded
from sgmkit.training.batches import Batches
from sgmkit.training.meter import Meter
from sgmkit.training.recipe import Settings
from sgmkit.training.state import State


@dataclass(frozen=True)
class Training:
    """A training in progress: everything that a step needs.

    Args:
        fabric: of this process, launched.
        settings: of the training.
        seed: of the training.
        state: what a step changes.
        objective, optimiser: the loss and the optimiser, as the fabric wrapped them.
        batches: data and noise of this process.
        meter: collects the losses.
    """

    fabric: Fabric
    settings: Settings
    seed: int
    state: State
    objective: Any
    optimiser: Any
    batches: Batches
    meter: Meter

    def run(self, after: Callable[[], bool]) -> None:
        """Do the steps that are left.

        Args:
            after: called after each step; returns False to stop early.
        """
        while self.state.step < self.settings.steps:
            self.step()
            if not after():
                break

    def step(self) -> None:
        """Do one step of the optimiser on one batch, whose parts are computed one by one."""
        fabric, settings, state = self.fabric, self.settings, self.state
        state.begin_step()
        for part in range(settings.accumulate):
            batch, noise = self.batches(state.step, part)
            more = part + 1 < settings.accumulate
            with fabric.no_backward_sync(self.objective, enabled=more):
                # Dropout draws from torch's global generator, which is seeded here: so the masks
                # depend on the step and not on what was drawn before it.
                with seeded(self.seed, "dropout", state.step, fabric.global_rank, part):
                    share, *losses = self.objective(
                        batch.x, batch.y, batch.ids, noise, state.progress
                    )
                fabric.backward(share)
            self.meter.add(losses)
        norm = fabric.clip_gradients(
            self.objective,
            self.optimiser,
            max_norm=settings.clip or math.inf,
            error_if_nonfinite=False,  # a check here would wait for the device: the meter checks
        )
        self.optimiser.step()
        self.optimiser.zero_grad()
        state.step += 1
        state.averages.update(state.step)
        self.meter.end_step(cast("Tensor", norm))
