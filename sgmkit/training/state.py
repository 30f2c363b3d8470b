"""All that a step changes: weights, their averages, the optimiser. What a checkpoint holds."""

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
        model: on its device.
        settings: of the training.
    """

    def __init__(self, model: Model, settings: Settings) -> None:
        self.model, self.step, self._settings = model, 0, settings
        self.progress = 0.0
        """Share of the training that is over, as the latest step was told. It never falls: where
        ``steps`` is raised, an annealed loss goes on in the stage that it had reached."""
        groups = [_rated(group, settings.lr) for group in model.parameter_groups()]
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
        """Set the progress and the learning rates of the coming step."""
        self.progress = max(self.progress, self.step / self._settings.steps)
        share = _share(self.step, self._settings)
        for group, rate in zip(self.optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * share

    def tensors(self) -> dict[str, Tensor]:
        """Everything by name: ``model/...``, ``average/...``, ``optimiser/...``."""
        names = {id(weight): name for name, weight in self.model.named_parameters()}
        told = {f"model/{name}": t for name, t in self.model.state_dict().items()}
        told |= {f"average/{name}": t for name, t in self.averages.named().items()}
        for weight, moments in self.optimiser.state.items():
            told |= {f"optimiser/{names[id(weight)]}/{key}": t for key, t in moments.items()}
        return told

    def restore(self, path: Path) -> Facts:
        """Go on from a checkpoint. Raises `BadValue` where it is not one of this model."""
        found, facts = checkpoint.read(path, ("model/", "average/", "optimiser/"))
        checkpoint.load_weights(self.model, found, path)
        averages, weights = self.averages.named(), dict(self.model.named_parameters())
        for name, value in checkpoint.section(found, "average").items():
            averages[name].copy_(value)
        for key, value in checkpoint.section(found, "optimiser").items():
            name, _, moment = key.rpartition("/")
            weight = weights[name]
            like = value if moment == "step" else weight  # fused kernels want one memory format
            kept = torch.empty_like(like, device=weight.device, requires_grad=False)
            self.optimiser.state[weight][moment] = kept.copy_(value)
        self.step = facts.step
        # Files of format 1 state no progress; a model whose loss is annealed kept it in its state.
        earlier = self.model.recorded_progress(checkpoint.retired(self.model, found))
        self.progress = max(facts.progress, earlier)
        return facts


def _rated(group: dict[str, Any], rate: float) -> dict[str, Any]:
    """A group of parameters with its learning rate: ``scale`` times that of the settings."""
    rest = {key: value for key, value in group.items() if key != "scale"}
    return {"lr": rate * group.get("scale", 1.0), **rest}


def _share(step: int, settings: Settings) -> float:
    """Of the learning rate, after ``step`` steps: up to 1 in ``warmup``, down to ``lr_end``."""
    warmup, left = settings.warmup, settings.steps - settings.warmup
    if step < warmup:
        return (step + 1) / warmup
    fall = (1 + math.cos(math.pi * (step - warmup) / max(1, left))) / 2
    return settings.lr_end + (1 - settings.lr_end) * fall
