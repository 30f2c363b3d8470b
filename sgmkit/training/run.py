"""A run directory: its experiment, its checkpoints, and the model that they hold.

``experiment.toml`` states the whole experiment, ``log.jsonl`` the course of the training.
``checkpoints/`` holds the weights, ``samples/`` pictures.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Literal

from sgmkit._util.files import write_atomic
from sgmkit._util.hashing import fingerprint
from sgmkit.errors import BadValue, IncompleteFile
from sgmkit.training import checkpoint
from sgmkit.training.checkpoint import Facts
from sgmkit.training.recipe import Experiment, read_recipe

if TYPE_CHECKING:
    import torch

    from sgmkit.models import Model

RUNS = "runs"
EXPERIMENT, LOG, CHECKPOINTS, SAMPLES = "experiment.toml", "log.jsonl", "checkpoints", "samples"
_CHECKPOINT = "step-{:08d}.safetensors"


class Run:
    """A directory that `sgmkit train` made.

    Raises `BadValue` where ``path`` is no such directory.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not is_run(self.path):
            raise BadValue(
                f"'{path}' is not a run directory (no {EXPERIMENT}); sgmkit train makes one"
            )

    @property
    def name(self) -> str:
        """The directory's name."""
        return self.path.resolve().name

    @cached_property
    def experiment(self) -> Experiment:
        """What was trained."""
        return Experiment.of(read_recipe(self.path / EXPERIMENT))

    def checkpoints(self) -> list[Path]:
        """All checkpoints, the oldest first. Whether one is whole is seen only on reading it."""
        paths = (self.path / CHECKPOINTS).glob("step-*.safetensors")
        return sorted((p for p in paths if p.stem[5:].isdecimal()), key=lambda p: int(p.stem[5:]))

    def save_checkpoint(
        self, tensors: "Mapping[str, torch.Tensor]", facts: Facts, keep: int
    ) -> None:
        """Write a checkpoint; once it is safe, delete all but the newest ``keep``.

        Raises `OSError` where the file cannot be written, with the earlier ones as they were.
        """
        path = self.path / CHECKPOINTS / _CHECKPOINT.format(facts.step)
        path.parent.mkdir(exist_ok=True)
        checkpoint.write(path, tensors, facts)
        for old in self.checkpoints()[:-keep]:
            old.unlink()

    def delete_unfinished(self) -> None:
        """Delete what a killed process left of a checkpoint that it was writing."""
        for path in (self.path / CHECKPOINTS).glob(".*.tmp"):
            path.unlink()

    def latest(self) -> Path:
        """The newest checkpoint.

        Raises `BadValue` where there is none, and `IncompleteFile` where the newest is not whole:
        an older one must not take its place unnoticed.
        """
        paths = self.checkpoints()
        if not paths:
            raise BadValue(
                f"no checkpoint in '{self.path}' yet; "
                f"sgmkit train --resume --out {quote(str(self.path))} goes on"
            )
        checkpoint.facts_of(paths[-1])
        return paths[-1]

    def last_good(self) -> tuple[Path | None, list[str]]:
        """The newest checkpoint that is whole, and a message for each newer one that is not."""
        troubles: list[str] = []
        for path in reversed(self.checkpoints()):
            try:
                checkpoint.facts_of(path)
            except IncompleteFile as error:
                troubles.append(str(error))
            else:
                return path, troubles
        return None, troubles

    @cached_property
    def _newest(self) -> Path:
        """The newest checkpoint when it was first needed.

        So `step`, `load` and `content` agree even while a training goes on and writes newer ones.
        """
        return self.latest()

    @property
    def step(self) -> int:
        """Optimiser steps done when the weights that `load` gives were written."""
        return checkpoint.facts_of(self._newest).step

    def load(
        self,
        device: "torch.device | str" = "cpu",
        which: Literal["average", "last"] = "average",
    ) -> "Model":
        """The model with the weights of the newest checkpoint, ready to sample.

        Raises `BadValue` where the name or the shape of a tensor differs from the model's.
        """
        model, _ = self._load(which)
        return model.to(device).eval().requires_grad_(False)

    def _load(self, which: Literal["average", "last"]) -> "tuple[Model, dict[str, torch.Tensor]]":
        """The model on the CPU, and tensors of its checkpoint that it no longer has."""
        path, model = self._newest, self.experiment.build()
        tensors, _ = checkpoint.read(path, ("model/", "average/"))
        checkpoint.load_weights(model, tensors, path, average=which == "average")
        return model, checkpoint.retired(model, tensors)

    def load_with_content(self, device: "torch.device | str" = "cpu") -> "tuple[Model, str]":
        """The model as `load` gives it, and `content`, from one reading of the checkpoint."""
        model, retired = self._load("average")
        # Results are stored under this hash. An earlier version hashed tensors that the model no
        # longer has, so a checkpoint that holds them keeps its hash only if they count still. The
        # next checkpoint of the run has none of them.
        content = fingerprint({**model.state_dict(), **retired})
        return model.to(device).eval().requires_grad_(False), content

    @cached_property
    def content(self) -> str:
        """Hash of the averaged weights of the newest checkpoint: sixteen hexadecimal digits."""
        return self.load_with_content()[1]


def is_run(path: Path) -> bool:
    """Whether a training was started here."""
    return (path / EXPERIMENT).is_file()


def write_experiment(path: Path, experiment: Experiment) -> None:
    """Write ``experiment.toml`` atomically. This file makes a directory a run."""
    write_atomic(path / EXPERIMENT, experiment.to_toml().encode())


def find_runs(directory: str | Path = RUNS) -> list[Run]:
    """Every run in a directory, sorted by name; none where there is no such directory."""
    return [Run(path.parent) for path in sorted(Path(directory).glob(f"*/{EXPERIMENT}"))]
