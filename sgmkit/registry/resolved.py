"""A component with every option decided: described, hashed, and built when it is needed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sgmkit.errors import BadValue, last_line
from sgmkit.registry.options import Schema, spell


@dataclass(frozen=True)
class Resolved:
    """A component with every option decided, ready to be described or built.

    Args:
        kind: of component.
        name: qualified, ``plugin/name``.
        distribution: of the plugin, in ``version``.
        options: all of them, defaults included; components are `Resolved`, None or instances.
        short: the bare name, or the qualified one where two plugins offer the bare one.
        defaults: of the options that have one.
        schema: what the constructor takes.
    """

    kind: str
    name: str
    distribution: str
    version: str
    options: Mapping[str, Any] = field(hash=False)
    short: str = field(compare=False)
    defaults: Mapping[str, Any] = field(compare=False, repr=False)
    schema: Schema = field(compare=False, repr=False)

    @property
    def supplied(self) -> tuple[str, ...]:
        """Names that `build` needs from the core, for this component and those inside it."""
        now = (part for name, part in self._parts() if not self.schema.options[name].later)
        inner = (name for part in now for name in part.supplied)
        return tuple(dict.fromkeys((*self.schema.supplied, *inner)))

    def build(self, **supplied: object) -> Any:
        """The instance; components inside it first. Each takes of ``supplied`` what it names."""
        missing = [name for name in self.schema.supplied if name not in supplied]
        if missing:
            raise BadValue(f"{self.schema.owner} cannot be built without {', '.join(missing)}")
        values = {name: supplied[name] for name in self.schema.supplied}
        for name, value in self.options.items():
            values[name] = self._built(name, value, supplied)
        try:
            return self.schema.cls(**values)
        except (TypeError, ValueError) as error:
            raise BadValue(f"{self.schema.owner}: {last_line(error)}") from error

    def innermost(self, kind: str) -> "Resolved | None":
        """The innermost component of a kind inside this: ``sde`` is that of the innermost model."""
        found = None
        for _, part in self._parts():
            found = found or part.innermost(kind) or (part if part.kind == kind else None)
        return found

    @cached_property
    def built(self) -> Any:
        """The instance, built at first use and shared by all who look; nothing is supplied."""
        return self.build()

    def describe(self) -> dict[str, Any]:
        """JSON-able, equal for equal components however they were named; `resolve` reads it."""
        from pydantic_core import to_json

        told: dict[str, Any] = {"name": self.name}
        for name, value in sorted(self.options.items()):
            if isinstance(value, Resolved):
                told[name] = value.describe()
            elif self.schema.options[name].kind and value is not None:
                raise BadValue(
                    f"option {name!r} of {self.schema.owner} is an instance, which has no "
                    "description: give it by name"
                )
            else:
                told[name] = json.loads(to_json(value, inf_nan_mode="strings"))
        return told

    def versions(self) -> dict[str, str]:
        """Version of each distribution that has a part in this."""
        found = {self.distribution: self.version}
        for _, part in self._parts():
            found |= part.versions()
        return dict(sorted(found.items()))

    @property
    def changes(self) -> str:
        """The options that are not at their default, as `parse` reads them: ``churn=0.5``."""
        told, unset = sorted(self.options.items()), object()
        changed = ((name, value) for name, value in told if self.defaults.get(name, unset) != value)
        return ":".join(f"{name}={self._spell(name, value)}" for name, value in changed)

    @property
    def label(self) -> str:
        """Short text: ``vp``, ``heun:churn=0.5``."""
        return ":".join(filter(None, (self.short, self.changes)))

    def __str__(self) -> str:
        return self.label

    def _spell(self, name: str, value: object) -> str:
        if self.schema.options[name].kind and not isinstance(value, Resolved | None):
            return type(value).__name__
        return spell(value)

    def _built(self, name: str, value: object, supplied: Mapping[str, object]) -> object:
        if not isinstance(value, Resolved):
            return value
        return value.build if self.schema.options[name].later else value.build(**supplied)

    def _parts(self) -> list[tuple[str, "Resolved"]]:
        told = self.options.items()
        return [(name, value) for name, value in told if isinstance(value, Resolved)]
