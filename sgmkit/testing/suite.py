"""The suite: finds the checks that apply to a component, builds the component and runs them."""

import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from sgmkit import registry
from sgmkit.errors import BadValue, MissingFiles, UnknownName, UserError
from sgmkit.noise import seeded
from sgmkit.registry.hookspecs import KINDS
from sgmkit.registry.options import REQUIRED, Schema, near, parse
from sgmkit.testing import (
    autoencoder,
    dataset,
    evaluator,
    extractor,
    grid,
    model,
    network,
    sde,
    solver,
)
from sgmkit.testing.reference import STAND_INS, SUPPLIED
from sgmkit.testing.result import Check, CheckFailed, CheckResult, perform

if TYPE_CHECKING:
    import pytest

_APPLICABLE: dict[str, Callable[[Any], Iterator[Check]]] = {
    "sde": sde.applicable,
    "network": network.applicable,
    "autoencoder": autoencoder.applicable,
    "solver": solver.applicable,
    "grid": grid.applicable,
    "dataset": dataset.applicable,
    "evaluator": evaluator.applicable,
    "extractor": extractor.applicable,
    "model": model.applicable,
}
_IMPORT = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def checks(kind: str, component: object) -> Iterator[Check]:
    """The checks that apply to an instance, chosen by its declared facts and never by its name.

    Each is a function ``check_<property>(component)`` whose docstring says what is required. It
    returns what it measured, and raises `CheckFailed` if the component does not comply.
    """
    if kind not in _APPLICABLE:
        kinds = ", ".join(_APPLICABLE)
        raise UnknownName(f"no checks for kind {kind!r}{near(kind, _APPLICABLE)} (kinds: {kinds})")
    yield from _APPLICABLE[kind](component)


def run_checks(kind: str, target: object, /, **options: object) -> list[CheckResult]:
    """Run every check on one component.

    Args:
        kind: kind of component.
        target: a name (``"heun:churn=0.5"``), ``"module:Class"``, a class or an instance.
        options: options of the component. A required component that is missing here is replaced
            by a small stand-in.
    """
    subject = f"{kind} {_label(target, options)}"
    try:
        component = build(kind, target, **options)
        applicable = list(checks(kind, component))
    except UnknownName:
        raise
    except MissingFiles as error:
        return [CheckResult(subject, "check_builds", "skip", str(error))]
    except Exception as error:
        message = str(error) if isinstance(error, UserError) else f"raised {error!r}"
        return [CheckResult(subject, "check_builds", "fail", message)]
    return [perform(check, component, subject) for check in applicable]


def check_target(target: str) -> list[CheckResult]:
    """Run the checks of all components that ``target`` names, for ``sgmkit check``.

    Args:
        target: a component (bare or qualified name, with options or without; all kinds that have
            the name), a plugin (all its components), or ``"module:Class"``.
    """
    if _IMPORT.fullmatch(target):
        cls = _import(target)
        return run_checks(_kind_of(cls, target), cls)
    name, _ = parse(target)
    subjects = _by_name(target, name)
    for plugin in registry.plugins():
        if plugin.name == name == target:
            if plugin.stage:
                raise UserError(f"plugin {name!r} failed at {plugin.stage}: {plugin.reason}")
            for x in plugin.components:
                subjects[x.kind, f"{name}/{x.name}"] = f"{name}/{x.name}"
    if not subjects:
        names = {plugin.name for plugin in registry.plugins()}
        names = names.union(*(x.words for kind in KINDS for x in registry.offers(kind).values()))
        hint = near(name, sorted(names))
        raise UnknownName(f"no component or plugin named {name!r}{hint} (sgmkit list shows all)")
    return [result for (kind, _), spec in subjects.items() for result in run_checks(kind, spec)]


def parametrize_checks(
    kind: str, /, *targets: object, xfail: Mapping[str, str] | None = None, **options: object
) -> "pytest.MarkDecorator":
    """Parametrise a test's argument ``check`` with all checks of some components.

    The test calls it: ``check()`` fails the test, or skips it if the check does not apply.

    Args:
        kind: kind of component.
        targets: names, ``"module:Class"``, classes or instances.
        xfail: checks that are known to fail, and the reason of each; one that passes fails the
            test (strict).
        options: options of the components, as of `run_checks`.

    ::

        @parametrize_checks("solver", "heun", churn=0.5)
        def test_heun(check):
            check()
    """
    import pytest

    params, reasons, names = [], dict(xfail or {}), set()
    for target in targets:
        component, label = build(kind, target, **options), _label(target, options)
        for check in checks(kind, component):
            name = check.__name__
            names.add(name)
            reason = reasons.get(name)
            marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
            run = _bind(check, component, f"{kind} {label}")
            params.append(pytest.param(run, id=f"{label}-{name}", marks=marks))
    for name in reasons:
        if name not in names:
            raise UnknownName(f"xfail names {name!r}, which is no check here{near(name, names)}")
    return pytest.mark.parametrize("check", params)


def build(kind: str, target: object, /, **options: object) -> Any:
    """Build the component that ``target`` names, for checks.

    Components that it requires are small stand-ins unless they are among the options. Parameters
    that the core would supply, such as the shapes of a network, may be among the options too; else
    they are the first of `SUPPLIED` that the constructor accepts.
    """
    if isinstance(target, str) and not _IMPORT.fullmatch(target):
        schema = registry.schema(kind, target)
        needed = _stand_ins(schema, {**parse(target)[1], **options})
        make = partial(registry.create, kind, target, **needed)
        return _supplied(kind, schema, options, make)
    cls = _import(target) if isinstance(target, str) else target
    if not isinstance(cls, type):
        if options:
            raise BadValue(
                f"an instance of {type(cls).__name__} takes no options: it is built already"
            )
        return cls
    schema = Schema.read(cls, f"{kind} {cls.__name__!r}", KINDS)
    return _supplied(kind, schema, options, partial(_construct, cls, schema))


def _construct(cls: type, schema: Schema, **options: object) -> Any:
    """Build an instance of a class that no plugin offers."""
    values = {name: options.pop(name) for name in schema.supplied}
    values |= schema.values({**_stand_ins(schema, options), **options})
    for option in schema.components:
        if isinstance(values[option.name], str | Mapping):
            part = registry.resolve(option.kind, values[option.name])
            values[option.name] = part.build if option.later else part.build()
    return cls(**values)


def _supplied(
    kind: str, schema: Schema, options: Mapping[str, object], make: Callable[..., Any]
) -> Any:
    """Call ``make`` with the parameters that the core would supply, unless they are options."""
    missing = [name for name in schema.supplied if name not in options]
    refusals = dict[str, None]()
    offered = SUPPLIED.get(kind, ({},)) if missing else ({},)
    for values in offered:
        if not set(missing) <= set(values):
            raise BadValue(f"{schema.owner} cannot be built without {', '.join(missing)}")
        try:
            with seeded(0, "conformance"):  # initial weights come from the global generator
                return make(**options, **{name: values[name] for name in missing})
        except ValueError as error:
            refusals[str(error)] = None
            if len(offered) == 1:
                raise
    raise BadValue("; ".join(refusals))


def _bind(check: Check, component: object, subject: str) -> Callable[[], None]:
    """The check as a function without arguments that fails or skips the running test."""

    def run() -> None:
        import pytest

        result = perform(check, component, subject)
        if result.level == "skip":
            pytest.skip(result.message)
        if not result.ok:
            raise CheckFailed(f"{subject}: {result.check}: {result.message}")

    return run


def _stand_ins(schema: Schema, options: Mapping[str, object]) -> dict[str, object]:
    """A small stand-in for each required component that is not among the options."""
    return {
        option.name: STAND_INS[option.kind] if option.later else STAND_INS[option.kind]()
        for option in schema.components
        if option.default is REQUIRED and option.name not in options and option.kind in STAND_INS
    }


def _by_name(target: str, name: str) -> dict[tuple[str, str], str]:
    """The components of all kinds with this name, alias or qualified name; all mean ``target``."""
    subjects = {}
    for kind in KINDS:
        for offer in registry.offers(kind).values():
            qualified = {f"{offer.plugin.name}/{word}" for word in offer.words}
            if name in offer.words | qualified:
                subjects[kind, registry.find(kind, name).qualified] = target
    return subjects


def _import(target: str) -> type:
    module, _, name = target.partition(":")
    try:
        cls = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise UnknownName(f"{target} cannot be imported: {error}") from None
    if not isinstance(cls, type):
        raise UnknownName(f"{target}: module {module} has no class {name!r}")
    return cls


def _kind_of(cls: type, target: str) -> str:
    for kind, path in KINDS.items():
        if issubclass(cls, _import(path)):
            return kind
    bases = ", ".join(path.partition(":")[2] for path in KINDS.values())
    raise BadValue(f"{target} is a subclass of none of {bases}")


def _label(target: object, options: Mapping[str, object]) -> str:
    if isinstance(target, str):
        name = target
    else:
        name = target.__name__ if isinstance(target, type) else type(target).__name__
    plain = (str, int, float, tuple, type(None))  # the text of other objects may hold an address
    shown = {
        key: value if isinstance(value, plain) else type(value).__name__
        for key, value in options.items()
    }
    return ":".join([name, *(f"{key}={value}" for key, value in shown.items())])
