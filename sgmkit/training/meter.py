"""Losses of each step. They stay on their device until a line of the log is due.

So no step waits for the device.
"""

import time
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from sgmkit.errors import UserError


class Diverged(UserError):
    """A loss or a gradient that is not finite. It ends the training; earlier checkpoints stay."""


class Meter:
    """Collects the losses and gradient norms since the last line of the log.

    Args:
        fabric: averages over all processes.
        batch: samples in a step.
        accumulate: parts of a step.
    """

    def __init__(self, fabric: Fabric, batch: int, accumulate: int) -> None:
        self._fabric, self._batch, self._accumulate = fabric, batch, accumulate
        self.start()

    def start(self) -> None:
        """Delete what was collected, and start the clock."""
        self._losses: list[Tensor] = []
        self._norms: list[Tensor] = []
        self._begin = time.perf_counter()

    def add(self, losses: list[Tensor]) -> None:
        """Add the loss of one part of a batch and the parts of this loss, each ``()``."""
        self._losses += losses

    def end_step(self, norm: Tensor) -> None:
        """End a step, whose gradient had this norm, ``()``."""
        self._norms.append(norm)

    def read(self, step: int, names: tuple[str, ...]) -> dict[str, Any]:
        """Means over the steps since `start` and over all processes, for a line of the log.

        This waits for the device.

        Args:
            step: number of the latest step.
            names: of the parts of the loss.

        Raises:
            Diverged: naming the first step and part of the loss that is not finite.
        """
        steps, columns = len(self._norms), 1 + len(names)
        losses = torch.stack(self._losses).double().view(steps, self._accumulate, columns).mean(1)
        table = torch.cat([losses, torch.stack(self._norms).double()[:, None]], 1)
        table = torch.as_tensor(self._fabric.all_reduce(table)).cpu()
        seconds = time.perf_counter() - self._begin
        _check_finite(table, step - steps + 1, names)
        loss, *parts, norm = table.mean(0).tolist()
        return {
            "step": step,
            "loss": loss,
            "parts": dict(zip(names, parts, strict=True)),
            "grad_norm": norm,
            "images_per_second": steps * self._batch / seconds,
        }


def _check_finite(table: Tensor, first: int, names: tuple[str, ...]) -> None:
    """Raise `Diverged` for the first row of a table that has a number that is not finite.

    Args:
        table: the loss, its parts and the gradient norm of each step, ``(steps, 1 + parts + 1)``.
        first: number of the first step.
        names: of the parts of the loss.
    """
    rows, columns = (~table.isfinite()).nonzero(as_tuple=True)
    if not len(rows):
        return
    row = int(rows[0])
    bad = columns[rows == row].tolist()
    column = next((c for c in bad if 0 < c <= len(names)), bad[0])  # a part says more than a sum
    noun = ["the loss", *(f"loss part {name!r}" for name in names), "the gradient"][column]
    raise Diverged(f"step {first + row}: {noun} is {float(table[row, column])}")


def with_advice(error: Diverged, good: Path | None) -> Diverged:
    """The same error with the last good checkpoint, and what to try next."""
    checkpoint = f"the last good checkpoint is {good}" if good else "there is no checkpoint yet"
    return Diverged(f"{error}; {checkpoint}; try a smaller train.lr in a new run")
