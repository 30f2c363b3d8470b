"""Subjects: what a bench measures, a model on a data set, first by name and then in memory."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sgmkit.benching.labels import model_label, versions
from sgmkit.errors import BadValue, Incompatible
from sgmkit.registry import Resolved, resolve

if TYPE_CHECKING:
    from sgmkit.data import Dataset
    from sgmkit.models import Model
    from sgmkit.training.run import Run


@dataclass(frozen=True)
class Subject:
    """One model on one data set: names, options and versions, ready to be built.

    Args:
        model: the model, with everything inside it resolved.
        data: the data set whose law its samples should have.
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
        """Its run and the steps it was trained for, ``NAME@STEPS``; empty if there is no run."""
        return f"{self.source.name}@{self.source.step}" if self.source else ""

    @property
    def sde(self) -> Resolved:
        """The process of the innermost model."""
        return _part(self.model, "sde")

    @property
    def event(self) -> tuple[int, ...]:
        """Shape of one item of the data."""
        return self.data.built.event

    def check(self, t_min: float | None) -> None:
        """Find what is wrong without loading weights, so that nothing is computed in vain.

        Args:
            t_min: where the bench ends its grids; None for the model's own cut-off.

        Raises:
            UserError: where the process or the data cannot be built, ``t_min`` is outside the
                process' time, or the run has no whole checkpoint.
        """
        sde = self.sde.built
        _ = self.data.built
        if t_min is not None:
            check_t_min(self, t_min, sde.horizon)
        if self.source:
            _ = self.source.step

    def load(self) -> "LoadedSubject":
        """The subject in memory: the model is built, or read from its checkpoint, once.

        A trained model lies on the accelerator, where there is one.
        """
        if self.source is None:
            return LoadedSubject(self, self.model.build(), "")
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        return LoadedSubject(self, *self.source.load_with_content(device))


@dataclass(frozen=True)
class LoadedSubject:
    """A subject with its model in memory. A bench holds one of them at a time.

    Args:
        subject: names and options.
        model: the model, ready to sample.
        content: hash of a trained model's weights; empty if it has no run.
    """

    subject: Subject
    model: "Model"
    content: str

    @property
    def dataset(self) -> "Dataset":
        """The data set whose law the samples should have."""
        return self.subject.data.built

    @property
    def dtype(self) -> str:
        """Type of the model's states: ``float32``."""
        return str(self.model.state_like().dtype).removeprefix("torch.")

    def describe(self) -> dict[str, Any]:
        """All that decides its samples, and nothing else: JSON-able."""
        subject = self.subject
        description = {"model": subject.model.describe(), "run": self.content}
        if subject.source:
            description["data"] = subject.data.describe()
        return description | {"dtype": self.dtype}

    def columns(self, *parts: Resolved) -> dict[str, Any]:
        """The columns that all rows of the subject share.

        Args:
            parts: other components whose versions the rows state.
        """
        subject = self.subject
        return {
            "run": subject.run,
            # The process and the data have columns of their own.
            "model": model_label(subject.model, without=("sde", "dataset")),
            "sde": subject.sde.label,
            "data": subject.data.label,
            "params": sum(p.numel() for p in self.model.parameters()),
            "device": str(self.model.state_like().device),
            "dtype": self.dtype,
            "versions": versions(subject.model, subject.data, *parts),
        }

    def t_min(self, t_min: float | None) -> float:
        """Where grids end: ``t_min``, or the model's own cut-off where that is None."""
        end = t_min or self.model.t_min
        check_t_min(self.subject, end, self.model.sde.horizon)
        return end


def on_shared_data(subjects: Iterable[Subject]) -> list[Subject]:
    """The subjects with equal data sets as one object, which is then built once for all."""
    shared: dict[str, Resolved] = {}
    result: list[Subject] = []
    for subject in subjects:
        data = shared.setdefault(str(subject.data.describe()), subject.data)
        result.append(Subject(subject.model, data, subject.source))
    return result


def check_t_min(subject: Subject, t_min: float, horizon: float) -> None:
    """Raise `BadValue` unless grids can end at ``t_min``."""
    if not 0 < t_min < horizon:
        label = subject.sde.label
        raise BadValue(f"t_min of {label!r} must lie between 0 and {horizon:g}, not {t_min:g}")


def _part(model: Resolved, kind: str) -> Resolved:
    part = model.innermost(kind)
    if part is None:
        raise Incompatible(f"model {model.label!r} has no {kind}")
    return part
