"""All that a step changes, which is what a checkpoint holds: weights, averages, optimiser."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sgmkit.models import Model
from sgmkit.training import checkpoint
from sgmkit.training.averages import Averages
from sgmkit.training.checkpoint import Facts
from sgmkit.training.recipe import Settings


class State:
    """A model in training, after ``step`` steps.

    Args:
        model: the model, on its device.
        settings: of the training.

    Attributes:
        step: optimiser steps done.
        progress: share of the training that was over before the latest step. It never falls: where
            ``steps`` is raised, an annealed loss goes on in the stage that it had reached.
        optimiser: AdamW over the model's groups of parameters.
        averages: of the weights.
    """

    def __init__(self, model: Model, settings: Settings) -> None:
        self.model, self.step, self._settings = model, 0, settings
        self.progress = 0.0
        groups = [_with_rate(group, settings.lr) for group in model.parameter_groups()]
        self.optimiser = torch.optim.AdamW(
            groups,
            betas=settings.betas,
            eps=settings.eps,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self._rates = [group["lr"] for group in self.optimiser.param_groups]
        self.averages = Averages(model.averaged_parameters(), settings.ema)

    @property
    def rate(self) -> float:
        """Learning rate of the first group of parameters."""
        return self.optimiser.param_groups[0]["lr"]

    def begin_step(self) -> None:
        """Set the progress and the learning rates of the coming step.

        The rate of each group of parameters keeps its ratio to that of the others.
        """
        self.progress = max(self.progress, self.step / self._settings.steps)
        share = _rate_share(self.step, self._settings)
        for group, rate in zip(self.optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * share

    def tensors(self) -> dict[str, Tensor]:
        """Everything by name: ``model/...``, ``average/...``, ``optimiser/...``."""
        names = {id(weight): name for name, weight in self.model.named_parameters()}
        tensors = {f"model/{name}": t for name, t in self.model.state_dict().items()}
        tensors |= {f"average/{name}": t for name, t in self.averages.named().items()}
        for weight, moments in self.optimiser.state.items():
            tensors |= {f"optimiser/{names[id(weight)]}/{key}": t for key, t in moments.items()}
        return tensors

    def restore(self, path: Path) -> Facts:
        """Load a checkpoint, to go on from it. Raises `BadValue` where another model wrote it."""
        tensors, facts = checkpoint.read(path, ("model/", "average/", "optimiser/"))
        checkpoint.load_weights(self.model, tensors, path)
        averages, weights = self.averages.named(), dict(self.model.named_parameters())
        for name, value in checkpoint.section(tensors, "average").items():
            averages[name].copy_(value)
        for key, value in checkpoint.section(tensors, "optimiser").items():
            name, _, moment = key.rpartition("/")
            weight = weights[name]
            # Fused kernels need moments in the memory format of the weight.
            like = value if moment == "step" else weight
            copy = torch.empty_like(like, device=weight.device, requires_grad=False)
            self.optimiser.state[weight][moment] = copy.copy_(value)
        self.step = facts.step
        # Files of format 1 state no progress; a model whose loss is annealed kept it in its state.
        earlier = self.model.recorded_progress(checkpoint.retired(self.model, tensors))
        self.progress = max(facts.progress, earlier)
        return facts


def _with_rate(group: dict[str, Any], rate: float) -> dict[str, Any]:
    """A group of parameters with its learning rate: ``scale`` times that of the settings."""
    rest = {key: value for key, value in group.items() if key != "scale"}
    return {"lr": rate * group.get("scale", 1.0), **rest}


def _rate_share(step: int, settings: Settings) -> float:
    """The learning rate after ``step`` steps, as a share of ``lr``.

    It rises linearly over ``warmup`` steps, then falls as half a cosine from 1 to ``lr_end``:
    ``lr_end + (1 - lr_end) (1 + cos(pi (step - warmup) / (steps - warmup))) / 2``.
    """
    warmup, left = settings.warmup, settings.steps - settings.warmup
    if step < warmup:
        return (step + 1) / warmup
    fall = (1 + math.cos(math.pi * (step - warmup) / max(1, left))) / 2
    return settings.lr_end + (1 - settings.lr_end) * fall
