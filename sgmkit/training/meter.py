"""Losses by step, left on their device until a line of the log is due: no step waits for them."""

import time
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from sgmkit.errors import UserError


class Diverged(UserError):
    """A loss or a gradient that is not finite: the training ends, its checkpoints are good."""


class Meter:
    """Adds up what happened since the last line.

    Args:
        fabric: averages over all processes.
        batch: samples in a step.
        accumulate: parts of a step.
    """

    def __init__(self, fabric: Fabric, batch: int, accumulate: int) -> None:
        self._fabric, self._batch, self._accumulate = fabric, batch, accumulate
        self.start()

    def start(self) -> None:
        """Forget what was; the clock starts now."""
        self._losses: list[Tensor] = []
        self._norms: list[Tensor] = []
        self._begin = time.perf_counter()

    def add(self, losses: list[Tensor]) -> None:
        """The loss of one part of a batch, and its parts, each ``()``, without a graph."""
        self._losses += losses

    def end(self, norm: Tensor) -> None:
        """The step is over; its gradient had this norm, ``()``."""
        self._norms.append(norm)

    def read(self, step: int, names: tuple[str, ...]) -> dict[str, Any]:
        """Means over the steps since `start`, up to ``step``: this waits for the device.

        Args:
            step: the last one.
            names: of the parts of the loss.

        Raises:
            Diverged: naming the first step and part that is not finite.
        """
        steps, columns = len(self._norms), 1 + len(names)
        losses = torch.stack(self._losses).double().view(steps, self._accumulate, columns).mean(1)
        table = torch.cat([losses, torch.stack(self._norms).double()[:, None]], 1)
        table = torch.as_tensor(self._fabric.all_reduce(table)).cpu()
        seconds = time.perf_counter() - self._begin
        _check(table, step - steps + 1, names)
        loss, *parts, norm = table.mean(0).tolist()
        return {
            "step": step,
            "loss": loss,
            "parts": dict(zip(names, parts, strict=True)),
            "grad_norm": norm,
            "images_per_second": steps * self._batch / seconds,
        }


def _check(table: Tensor, first: int, names: tuple[str, ...]) -> None:
    """Complain about the first number of ``table (steps, 1 + parts + 1)`` that is not finite."""
    rows, columns = (~table.isfinite()).nonzero(as_tuple=True)
    if not len(rows):
        return
    row = int(rows[0])
    here = columns[rows == row].tolist()
    column = next((c for c in here if 0 < c <= len(names)), here[0])  # a part says more than a sum
    what = ["the loss", *(f"loss part {name!r}" for name in names), "the gradient"][column]
    raise Diverged(f"step {first + row}: {what} is {float(table[row, column])}")


def stopped_at(error: Diverged, good: Path | None) -> Diverged:
    """The same with the way out: the last good checkpoint, and what to try."""
    where = f"the last good checkpoint is {good}" if good else "there is no checkpoint yet"
    return Diverged(f"{error}; {where}; try a smaller train.lr in a new run")
