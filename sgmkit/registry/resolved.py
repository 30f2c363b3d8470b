"""A component with every option decided, which can be described, stored and built."""

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
        kind: kind of component.
        name: qualified name, ``plugin/name``.
        distribution: distribution of the plugin.
        version: version of that distribution.
        options: all options, defaults included; components are `Resolved`, None or instances.
        short: bare name, or the qualified one if two plugins offer the bare name.
        defaults: defaults of the options that have one.
        schema: parameters of the constructor.
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
        """Parameters that `build` must be passed, for this component and for those inside it."""
        now = (part for name, part in self._parts() if not self.schema.options[name].later)
        inner = (name for part in now for name in part.supplied)
        return tuple(dict.fromkeys((*self.schema.supplied, *inner)))

    def build(self, **supplied: object) -> Any:
        """Build the instance, and before it the components inside; each takes what it names of
        ``supplied``."""
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
        """The innermost component of a kind: with ``"sde"``, the process of the innermost model."""
        for _, part in self._parts():
            if inner := part.innermost(kind) or (part if part.kind == kind else None):
                return inner
        return None

    @cached_property
    def built(self) -> Any:
        """The instance, built once at first use; for components that need nothing supplied."""
        return self.build()

    def describe(self) -> dict[str, Any]:
        """Qualified name and all options as JSON values, the same however the component was named.

        `resolve` reads a description back.
        """
        from pydantic_core import to_json

        description: dict[str, Any] = {"name": self.name}
        for name, value in sorted(self.options.items()):
            if isinstance(value, Resolved):
                description[name] = value.describe()
            elif self.schema.options[name].kind and value is not None:
                raise BadValue(
                    f"option {name!r} of {self.schema.owner} is an instance, which has no "
                    "description: give it by name"
                )
            else:
                description[name] = json.loads(to_json(value, inf_nan_mode="strings"))
        return description

    def versions(self) -> dict[str, str]:
        """Versions of the distributions that offer this component and those inside it."""
        versions = {self.distribution: self.version}
        for _, part in self._parts():
            versions |= part.versions()
        return dict(sorted(versions.items()))

    @property
    def changes(self) -> str:
        """The options that differ from their defaults, as `parse` reads them: ``churn=0.5``."""
        unset = object()
        ordered = sorted(self.options.items())
        changed = ((name, x) for name, x in ordered if self.defaults.get(name, unset) != x)
        return ":".join(f"{name}={self._spell(name, value)}" for name, value in changed)

    @property
    def label(self) -> str:
        """The short name with the changed options: ``vp``, ``heun:churn=0.5``."""
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
        """The options that are resolved components, in order."""
        options = self.options.items()
        return [(name, value) for name, value in options if isinstance(value, Resolved)]
