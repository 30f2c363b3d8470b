"""Where a training runs: devices, processes, precision. Everything parallel is Lightning Fabric."""

import logging
import os
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric

from sgmkit.errors import BadValue, last_line
from sgmkit.training.allocator import keep_memory
from sgmkit.training.recipe import Settings

_PRECISION = {"32": "32-true", "bf16-mixed": "bf16-mixed", "64": "64-true"}


@dataclass(frozen=True)
class Machine:
    """How many devices share a batch.

    Args:
        devices: on each node; on a CPU, processes.
        nodes: machines.
        strategy: ``auto``, or ``ddp`` (data-parallel) for one device too.
        compile: compile the networks.
        accelerator: ``auto`` takes a GPU where there is one.
    """

    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"
    compile: bool = False
    accelerator: str = "auto"

    def check(self, settings: Settings) -> None:
        """Complain about devices that are not there, and a batch that they cannot share."""
        on_gpu = self.accelerator != "cpu" and torch.cuda.is_available()
        there = torch.cuda.device_count() if on_gpu else _cores()
        if self.devices > there:
            what = "GPU" if on_gpu else "CPU core"
            raise BadValue(
                f"--devices {self.devices}: this machine has {there} {what}{'s' * (there != 1)}; "
                f"ask for at most {there}"
            )
        devices, batch = self.devices * self.nodes, settings.batch
        parts = devices * settings.accumulate
        if batch % parts:
            fit = [n for n in (batch - batch % parts, batch - batch % parts + parts) if n]
            raise BadValue(
                f"train.batch={batch} is not a multiple of {parts} = {devices} x "
                f"{settings.accumulate} (devices x train.accumulate): "
                f"take {' or '.join(map(str, fit))}"
            )

    def launch(self, precision: str, partial: bool = False) -> Fabric:
        """All processes started, this one among them.

        Args:
            precision: of `recipe.Settings`.
            partial: whether some steps leave some parameters out.
        """
        several = self.strategy == "ddp" or self.devices * self.nodes > 1
        strategy = "ddp_find_unused_parameters_true" if several and partial else self.strategy
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
        try:
            fabric = Fabric(
                accelerator=self.accelerator,
                devices=self.devices,
                num_nodes=self.nodes,
                strategy=strategy,
                precision=_PRECISION[precision],  # type: ignore[arg-type]
            )
            fabric.launch()
            if fabric.device.type == "cpu":
                keep_memory()
        except (ValueError, RuntimeError) as error:
            raise BadValue(f"cannot start {self}: {last_line(error)}") from error
        return fabric


def _cores() -> int:
    """CPU cores that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # not everywhere
    return len(allowed(0)) if allowed else os.cpu_count() or 1
