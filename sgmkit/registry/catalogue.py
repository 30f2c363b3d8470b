"""The registry: finds components by name, resolves their options and builds them. No torch."""

import importlib
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sgmkit.errors import BadValue, UnknownName, UserError, last_line
from sgmkit.registry.hookspecs import KINDS, Component
from sgmkit.registry.loader import PluginInfo, load_plugins, located_reason, report_broken
from sgmkit.registry.options import Option, Schema, near, parse, show
from sgmkit.registry.resolved import Resolved

if TYPE_CHECKING:
    import torch

    from sgmkit.processes import LinearSDE


@dataclass(frozen=True)
class Offer:
    """A component, and the plugin that offers it."""

    plugin: PluginInfo
    component: Component

    @property
    def qualified(self) -> str:
        """``plugin/name``: the name that always works."""
        return f"{self.plugin.name}/{self.component.name}"

    @property
    def words(self) -> set[str]:
        """Every bare name: the component's own and its aliases."""
        return {self.component.name, *self.component.aliases}


class Registry:
    """The installed plugins, which are loaded when first needed.

    Args:
        kinds: each kind of component, and the base class of its targets as ``"module:Class"``.
    """

    def __init__(self, kinds: Mapping[str, str] = KINDS) -> None:
        self.kinds = kinds
        self.reset()

    def reset(self) -> None:
        """Forget what was loaded; the next call loads the installed plugins again."""
        self._schemas: dict[str, Schema] = {}
        self._loaded: list[PluginInfo] | None = None

    def plugins(self) -> list[PluginInfo]:
        """Every installed plugin, the broken ones too, sorted by name."""
        if self._loaded is None:
            self._loaded = load_plugins(self.kinds)
        return list(self._loaded)

    def offers(self, kind: str) -> dict[str, Offer]:
        """Every component of a kind, by the shortest name that `find` accepts.

        That is its bare name, or ``plugin/name`` if two plugins offer the bare name.
        """
        if kind not in self.kinds:
            listed = ", ".join(self.kinds)
            raise UnknownName(f"no kind {kind!r}{near(kind, self.kinds)} (kinds: {listed})")
        loaded = self.plugins()
        report_broken(loaded)
        listed = [
            Offer(plugin, x) for plugin in loaded for x in plugin.components if x.kind == kind
        ]
        count = Counter(word for offer in listed for word in offer.words)
        bare = ((offer.component.name, offer) for offer in listed)
        return dict(sorted((n if count[n] == 1 else x.qualified, x) for n, x in bare))

    def components(self, kind: str) -> dict[str, Component]:
        """The installed components of a kind, by name; names that clash become ``plugin/name``."""
        return {name: offer.component for name, offer in self.offers(kind).items()}

    def find(self, kind: str, name: str) -> Offer:
        """The component with this name: a bare name, an alias or ``plugin/name``."""
        return self._find(kind, name)[1]

    def _find(self, kind: str, name: str) -> tuple[str, Offer]:
        """The shortest name of the component that `find` finds, and the component."""
        offers = self.offers(kind)
        plugin, slash, bare = name.rpartition("/")
        allowed = {short: x for short, x in offers.items() if not slash or x.plugin.name == plugin}
        matches = [(short, x) for short, x in allowed.items() if bare in x.words]
        if len(matches) == 1:
            return matches[0]
        if matches:
            listed = " or ".join(x.qualified for _, x in matches)
            raise UserError(f"{kind} {name!r} is offered by {len(matches)} plugins: say {listed}")
        if not offers:
            raise UnknownName(f"no {kind} named {name!r}: no plugin offers any {kind}")
        accepted = {
            f"{x.plugin.name}/{word}" if slash else word
            for x in offers.values()
            for word in x.words
        }
        raise UnknownName(
            f"no {kind} named {name!r}{near(name, sorted(accepted))} "
            f"(sgmkit list {kind} shows all {len(offers)})"
        )

    def load(self, kind: str, name: str) -> type:
        """The class behind a name, imported now."""
        return self._load(self.find(kind, name))

    def schema(self, kind: str, spec: object) -> Schema:
        """The options that the constructor of a component takes."""
        offer = self.find(kind, _read(kind, spec)[0])
        key = f"{kind} {offer.qualified}"
        if key not in self._schemas:
            owner = f"{kind} {offer.component.name!r}"
            self._schemas[key] = Schema.read(self._load(offer), owner, self.kinds)
        return self._schemas[key]

    def resolve(self, kind: str, spec: object, /, **options: object) -> Resolved:
        """Decide every option of a component, without building it.

        Args:
            kind: kind of component.
            spec: ``"name:key=value"``, ``{"name": ..., key: value}``, or a `Resolved`.
            options: values that override those of ``spec``; a component inside may be a text, a
                mapping, a `Resolved` or an instance.
        """
        name, chosen = _read(kind, spec)
        short, offer = self._find(kind, name)
        schema = self.schema(kind, name)
        values = schema.values({**chosen, **options})
        defaults = schema.defaults()
        for option in schema.components:
            values[option.name] = self._part(schema, option, values[option.name])
            if option.name in defaults:
                # A default that cannot be imported is no obstacle for who chose something else.
                with suppress(UserError):
                    defaults[option.name] = self._part(schema, option, defaults[option.name])
        source = (offer.plugin.distribution, offer.plugin.version)
        return Resolved(kind, offer.qualified, *source, values, short, defaults, schema)

    def create(self, kind: str, spec: object, /, **options: object) -> Any:
        """Resolve and build a component.

        Args:
            kind: kind of component.
            spec: as of `resolve`.
            options: as of `resolve`, and the parameters without a default that are no options,
                such as the shapes that a network is built for.
        """
        names = self.schema(kind, spec).supplied
        supplied = {name: options.pop(name) for name in names if name in options}
        return self.resolve(kind, spec, **options).build(**supplied)

    def _load(self, offer: Offer) -> type:
        """Import the class of a component and complain unless it is a complete one of its kind."""
        component = offer.component
        owner = f"{component.kind} {component.name!r} of plugin {offer.plugin.name!r}"
        module, _, name = component.target.partition(":")
        try:
            target = getattr(importlib.import_module(module), name, None)
            base_module, _, base_name = self.kinds[component.kind].partition(":")
            base = getattr(importlib.import_module(base_module), base_name)
        except Exception as error:
            raise UserError(f"{owner} {_why_not_imported(offer, error)}") from error
        if target is None:
            raise UserError(f"{owner}: module {module} has no class {name}")
        if not (isinstance(target, type) and issubclass(target, base)):
            raise UserError(
                f"{owner}: {component.target} is not a subclass of {self.kinds[component.kind]}"
            )
        if missing := sorted(getattr(target, "__abstractmethods__", ())):
            raise UserError(f"{owner}: {component.target} does not define {', '.join(missing)}")
        return target

    def _part(self, schema: Schema, option: Option, value: object) -> object:
        """The value of an option that is a component: a `Resolved`, an instance, or None."""
        base = option.base or object
        wrong = f"option {option.name!r} of {schema.owner}: expected"
        if isinstance(value, str | Mapping | Resolved):
            part = self.resolve(option.kind, value)
            if not issubclass(part.schema.cls, base):
                raise BadValue(f"{wrong} a {base.__name__}, which {part.short!r} is not")
            return part
        fits = callable(value) if option.later else isinstance(value, base)
        if fits or (value is None and option.optional):
            return value
        raise BadValue(f"{wrong} the name of a component of kind {option.kind}, not {show(value)}")


def _why_not_imported(offer: Offer, error: Exception) -> str:
    """The end of a message: the packages to install if that is the reason, else where it failed.

    An optional package may be missing far below the component's own module; whatever the chain of
    imports, only this component is disabled.
    """
    component = offer.component
    own = {"sgmkit", component.target.partition(":")[0].partition(".")[0]}
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__  # a library may wrap the failed import
    failed = [each for each in causes if isinstance(each, ImportError)]
    foreign = [each for each in failed if (each.name or "").partition(".")[0] not in own]
    if not (component.extra and foreign):
        return f"cannot be imported: {located_reason(error)}"
    install = f"pip install '{offer.plugin.distribution}[{component.extra}]'"
    missing = [each.name for each in foreign if isinstance(each, ModuleNotFoundError) and each.name]
    if missing:
        return f"needs the package {missing[-1].partition('.')[0]!r}: {install}"
    return f"needs more packages, or newer ones: {install} ({last_line(foreign[-1])})"


def _read(kind: str, spec: object) -> tuple[str, Mapping[str, Any]]:
    """The name and the options that a text, a mapping or a `Resolved` states."""
    if isinstance(spec, str):
        return parse(spec)
    if isinstance(spec, Resolved) and spec.kind == kind:
        return spec.name, spec.options
    if isinstance(spec, Mapping) and isinstance(spec.get("name"), str):
        name, options = parse(spec["name"])
        return name, {**options, **{key: spec[key] for key in spec if key != "name"}}
    shown = f"the {spec.kind} {spec.label!r}" if isinstance(spec, Resolved) else show(spec)
    raise BadValue(f"expected the name of a component of kind {kind}, not {shown}")


_default = Registry()
plugins = _default.plugins
offers = _default.offers
components = _default.components
find, load = _default.find, _default.load
schema = _default.schema
resolve = _default.resolve
create = _default.create
reset = _default.reset


def time_grid(name: str, sde: "LinearSDE", steps: int, t_min: float) -> "torch.Tensor":
    """Times from the horizon down to ``t_min``: ``(steps + 1,)`` float64, decreasing."""
    return create("grid", name)(sde, steps, t_min)
