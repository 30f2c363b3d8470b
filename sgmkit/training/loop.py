"""The loop: from the step that a state is at to the last."""

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
    """What a step needs.

    Args:
        fabric: launched.
        settings: of the training.
        seed: of the training.
        state: what a step changes.
        objective, optimiser: as the fabric set them up.
        batches: this process's data and noise.
        meter: takes the losses.
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
        """Do all steps that are left, or fewer: ``after`` each, it is asked whether to go on."""
        while self.state.step < self.settings.steps:
            self.step()
            if not after():
                break

    def step(self) -> None:
        """One step of the optimiser, on one batch in all its parts."""
        fabric, settings, state = self.fabric, self.settings, self.state
        state.begin_step()
        for part in range(settings.accumulate):
            batch, noise = self.batches(state.step, part)
            more = part + 1 < settings.accumulate
            with fabric.no_backward_sync(self.objective, enabled=more):
                # Dropout draws from the global generator: a function of the step, not of the past.
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
            error_if_nonfinite=False,  # asking would wait for the device: the meter finds out
        )
        self.optimiser.step()
        self.optimiser.zero_grad()
        state.step += 1
        state.averages.update(state.step)
        self.meter.end(cast("Tensor", norm))
