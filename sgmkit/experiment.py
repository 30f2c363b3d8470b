"""A resolved description of what is benched: names, options and versions, ready to be built."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sgmkit.errors import Incompatible
from sgmkit.registry import Resolved, resolve

if TYPE_CHECKING:
    from sgmkit.dataset import Dataset
    from sgmkit.model import Model


@dataclass(frozen=True)
class Subject:
    """One model on one data set.

    Args:
        model: with its data and everything inside it resolved.
        run: name of the run directory that holds its weights; empty for a model without any.
    """

    model: Resolved
    run: str = ""

    @classmethod
    def of(cls, model: str, sde: object, data: object) -> "Subject":
        """A model by name, with an SDE and a data set put where its constructor asks for them."""
        return cls(resolve("model", model, sde=sde, data=data))

    def part(self, kind: str) -> Resolved:
        """The innermost component of a kind: ``sde`` is that of the innermost model."""
        found = _innermost(self.model, kind)
        if found is None:
            raise Incompatible(f"model {self.model.label!r} has no {kind}")
        return found

    def describe(self) -> dict[str, Any]:
        """What decides its samples, and nothing else: JSON-able."""
        return {"model": self.model.describe(), "run": self.run}

    @cached_property
    def built(self) -> "Model":
        """The model, built at first use."""
        return self.model.build()

    @cached_property
    def dataset(self) -> "Dataset":
        """The data it should resemble."""
        return self.part("dataset").build()


def _innermost(resolved: Resolved, kind: str) -> Resolved | None:
    found = None
    for value in resolved.options.values():
        if isinstance(value, Resolved):
            inner = _innermost(value, kind)
            found = found or inner or (value if value.kind == kind else None)
    return found
