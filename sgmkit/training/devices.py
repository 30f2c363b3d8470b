"""Devices, processes and precision of a training. Everything parallel is Lightning Fabric's."""

import logging
import os
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric

from sgmkit.errors import BadValue, last_line
from sgmkit.models import Model, Network
from sgmkit.training.allocator import keep_memory
from sgmkit.training.recipe import Settings

_FABRIC_PRECISION = {"32": "32-true", "bf16-mixed": "bf16-mixed", "64": "64-true"}


@dataclass(frozen=True)
class Devices:
    """On how many devices to train; they share each batch.

    Args:
        devices: GPUs of each machine, or processes on its CPU.
        nodes: number of machines.
        strategy: ``auto``, or ``ddp`` for data-parallel training on a single device as well.
        compile: whether to compile the networks.
        accelerator: ``auto`` takes a GPU where there is one.
    """

    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"
    compile: bool = False
    accelerator: str = "auto"

    def check(self, settings: Settings) -> None:
        """Raise `BadValue` for more devices than there are, or a batch that does not divide."""
        on_gpu = self.accelerator != "cpu" and torch.cuda.is_available()
        available = torch.cuda.device_count() if on_gpu else _cores()
        if self.devices > available:
            noun = "GPU" if on_gpu else "CPU core"
            raise BadValue(
                f"--devices {self.devices}: this machine has {available} "
                f"{noun}{'s' * (available != 1)}; ask for at most {available}"
            )
        devices, batch = self.devices * self.nodes, settings.batch
        parts = devices * settings.accumulate
        if batch % parts:
            multiples = [n for n in (batch - batch % parts, batch - batch % parts + parts) if n]
            raise BadValue(
                f"train.batch={batch} is not a multiple of {parts} = {devices} x "
                f"{settings.accumulate} (devices x train.accumulate): "
                f"take {' or '.join(map(str, multiples))}"
            )

    def launch(self, precision: str, partial: bool = False) -> Fabric:
        """Start all processes. Returns the fabric of this one.

        Args:
            precision: as in `recipe.Settings`.
            partial: whether some steps give some parameters no gradient; DDP then needs
                ``find_unused_parameters``.
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
                precision=_FABRIC_PRECISION[precision],  # type: ignore[arg-type]
            )
            fabric.launch()
            if fabric.device.type == "cpu":
                keep_memory()
        except (ValueError, RuntimeError) as error:
            raise BadValue(f"cannot start {self}: {last_line(error)}") from error
        return fabric


def place_model(model: Model, device: torch.device, compile: bool) -> Model:
    """Move the model to its device; networks of images get channels-last memory.

    Args:
        compile: whether to compile the networks; the names of parameters stay the same.
    """
    model.to(device)
    for part in model.modules():
        if isinstance(part, Network):
            if len(part.in_shape) == 3:  # images; 6 % faster on a CPU too
                part.to(memory_format=torch.channels_last)
            if compile:
                part.compile()
    return model


def _cores() -> int:
    """CPU cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1
