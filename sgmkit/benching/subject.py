"""A resolved description of what is benched: names, options and versions, ready to be built."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sgmkit.errors import Incompatible
from sgmkit.registry import Resolved, resolve

if TYPE_CHECKING:
    from sgmkit.data import Dataset
    from sgmkit.models import Model
    from sgmkit.training.run import Run


@dataclass(frozen=True)
class Subject:
    """One model on one data set.

    Args:
        model: with everything inside it resolved.
        data: what it should resemble.
        source: the run that trained it; None for a model that needs no training.
    """

    model: Resolved
    data: Resolved
    source: "Run | None" = None

    @classmethod
    def of(cls, model: str, sde: object, data: object) -> "Subject":
        """A model by name, with an SDE and a data set put where its constructor asks for them."""
        resolved = resolve("model", model, sde=sde, data=data)
        return cls(resolved, _part(resolved, "dataset"))

    @classmethod
    def trained(cls, run: "Run") -> "Subject":
        """The model of a run, with its averaged weights."""
        return cls(run.experiment.model, run.experiment.data, run)

    @property
    def run(self) -> str:
        """Its run and the steps it was trained for, ``NAME@STEPS``; empty where there is none."""
        return f"{self.source.name}@{self.source.step}" if self.source else ""

    @property
    def sde(self) -> Resolved:
        """The SDE of the innermost model."""
        return _part(self.model, "sde")

    def describe(self) -> dict[str, Any]:
        """What decides its samples, and nothing else: JSON-able."""
        told = {"model": self.model.describe(), "run": ""}
        if self.source:
            told |= {"run": self.source.content, "data": self.data.describe()}
        return told

    @cached_property
    def built(self) -> "Model":
        """The model, built at first use; a trained one on the accelerator, where there is one."""
        if self.source is None:
            return self.model.build()
        import torch

        return self.source.load("cuda" if torch.cuda.is_available() else "cpu")

    @cached_property
    def dataset(self) -> "Dataset":
        """The data it should resemble."""
        return self.data.build()


def _part(model: Resolved, kind: str) -> Resolved:
    found = model.innermost(kind)
    if found is None:
        raise Incompatible(f"model {model.label!r} has no {kind}")
    return found
