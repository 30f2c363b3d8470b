"""Who offers what: plugins admitted one by one, names resolved, components built. No torch."""

import importlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sgmkit.errors import BadValue, UnknownName, UserError, last_line
from sgmkit.registry.hookspecs import KINDS, Component
from sgmkit.registry.loader import PluginInfo, load_plugins, reason, report_broken
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
    """The plugins that are installed, loaded at first need.

    Args:
        kinds: each kind of component and the base class of its targets.
    """

    def __init__(self, kinds: Mapping[str, str] = KINDS) -> None:
        self.kinds = kinds
        self.reset()

    def reset(self) -> None:
        """Forget the plugins: the next call looks again."""
        self._schemas: dict[str, Schema] = {}
        self._loaded: list[PluginInfo] | None = None

    def plugins(self) -> list[PluginInfo]:
        """Every installed plugin, the broken ones too, sorted by name."""
        if self._loaded is None:
            self._loaded = load_plugins(self.kinds)
        return list(self._loaded)

    def offers(self, kind: str) -> dict[str, Offer]:
        """Every component of a kind, by the shortest name that `find` accepts.

        That is the bare name, or the qualified one where two plugins offer the bare one.
        """
        if kind not in self.kinds:
            listed = ", ".join(self.kinds)
            raise UnknownName(f"no kind {kind!r}{near(kind, self.kinds)} (kinds: {listed})")
        loaded = self.plugins()
        report_broken(loaded)
        found = [Offer(plugin, x) for plugin in loaded for x in plugin.components if x.kind == kind]
        count = Counter(word for offer in found for word in offer.words)
        bare = ((x.component.name, x) for x in found)
        return dict(sorted((n if count[n] == 1 else x.qualified, x) for n, x in bare))

    def components(self, kind: str) -> dict[str, Component]:
        """What is installed of a kind, by name; clashing names are qualified, ``plugin/name``."""
        return {name: offer.component for name, offer in self.offers(kind).items()}

    def find(self, kind: str, name: str) -> Offer:
        """The one component that ``name`` means: a bare name, an alias or ``plugin/name``."""
        return self._find(kind, name)[1]

    def _find(self, kind: str, name: str) -> tuple[str, Offer]:
        offers = self.offers(kind)
        plugin, slash, bare = name.rpartition("/")
        allowed = {short: x for short, x in offers.items() if not slash or x.plugin.name == plugin}
        found = [(short, x) for short, x in allowed.items() if bare in x.words]
        if len(found) == 1:
            return found[0]
        if found:
            listed = " or ".join(x.qualified for _, x in found)
            raise UserError(f"{kind} {name!r} is offered by {len(found)} plugins: say {listed}")
        if not offers:
            raise UnknownName(f"no {kind} named {name!r}: no plugin offers any {kind}")
        known = {
            f"{x.plugin.name}/{word}" if slash else word
            for x in offers.values()
            for word in x.words
        }
        raise UnknownName(
            f"no {kind} named {name!r}{near(name, sorted(known))} "
            f"(sgmkit list {kind} shows all {len(offers)})"
        )

    def load(self, kind: str, name: str) -> type:
        """The class behind a name, imported now."""
        return self._load(self.find(kind, name))

    def schema(self, kind: str, spec: object) -> Schema:
        """What the constructor takes."""
        offer = self.find(kind, _read(kind, spec)[0])
        key = f"{kind} {offer.qualified}"
        if key not in self._schemas:
            owner = f"{kind} {offer.component.name!r}"
            self._schemas[key] = Schema.read(self._load(offer), owner, self.kinds)
        return self._schemas[key]

    def resolve(self, kind: str, spec: object, /, **options: object) -> Resolved:
        """Decide every option of a component, without building it.

        Args:
            kind: of component.
            spec: ``"name:key=value"``, ``{"name": ..., key: value}``, or a `Resolved`.
            options: override what ``spec`` says; components as text, mapping or `Resolved`.
        """
        name, given = _read(kind, spec)
        short, offer = self._find(kind, name)
        schema = self.schema(kind, name)
        values = schema.values({**given, **options})
        defaults = schema.defaults()
        for option in schema.components:
            values[option.name] = self._part(schema, option, values[option.name])
            if option.name in defaults:
                defaults[option.name] = self._part(schema, option, defaults[option.name])
        source = (offer.plugin.distribution, offer.plugin.version)
        return Resolved(kind, offer.qualified, *source, values, short, defaults, schema)

    def create(self, kind: str, spec: object, /, **options: object) -> Any:
        """Resolve and build; components may be instances, supplied parameters are keywords too."""
        wanted = self.schema(kind, spec).supplied
        supplied = {name: options.pop(name) for name in wanted if name in options}
        return self.resolve(kind, spec, **options).build(**supplied)

    def _load(self, offer: Offer) -> type:
        component = offer.component
        owner = f"{component.kind} {component.name!r} of plugin {offer.plugin.name!r}"
        module, _, name = component.target.partition(":")
        try:
            found = getattr(importlib.import_module(module), name, None)
            base_module, _, base_name = self.kinds[component.kind].partition(":")
            base = getattr(importlib.import_module(base_module), base_name)
        except Exception as error:
            if isinstance(error, ImportError) and component.extra:
                package = f"{offer.plugin.distribution}[{component.extra}]"
                advice = f"needs more packages: pip install '{package}' ({last_line(error)})"
            else:
                advice = f"cannot be imported: {reason(error)}"
            raise UserError(f"{owner} {advice}") from error
        if found is None:
            raise UserError(f"{owner}: module {module} has no class {name}")
        if not (isinstance(found, type) and issubclass(found, base)):
            raise UserError(
                f"{owner}: {component.target} is not a subclass of {self.kinds[component.kind]}"
            )
        if missing := sorted(getattr(found, "__abstractmethods__", ())):
            raise UserError(f"{owner}: {component.target} does not define {', '.join(missing)}")
        return found

    def _part(self, schema: Schema, option: Option, value: object) -> object:
        """A component inside another: resolved, or the instance that was given, or None."""
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


def _read(kind: str, spec: object) -> tuple[str, Mapping[str, Any]]:
    """Name and given options of a text, a mapping or a `Resolved`."""
    if isinstance(spec, str):
        return parse(spec)
    if isinstance(spec, Resolved) and spec.kind == kind:
        return spec.name, spec.options
    if isinstance(spec, Mapping) and isinstance(spec.get("name"), str):
        name, given = parse(spec["name"])
        return name, {**given, **{key: spec[key] for key in spec if key != "name"}}
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
