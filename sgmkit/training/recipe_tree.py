"""Edits of a recipe's tables: components chosen by flags, ``--set`` edits, default components."""

from collections.abc import Callable, Mapping
from typing import Any

from sgmkit import registry
from sgmkit.errors import BadValue
from sgmkit.registry import defaults
from sgmkit.registry.options import Option, parse
from sgmkit.registry.signatures import REQUIRED

Table = dict[str, Any]


def copied(recipe: Mapping[str, Any]) -> Table:
    """A deep copy of a recipe's tables, to be edited."""
    inner = recipe.items()
    return {key: copied(value) if isinstance(value, Mapping) else value for key, value in inner}


def apply_edit(tree: Table, edit: str) -> None:
    """Make one edit, ``key.sub=value``. The value stays text until its option is known."""
    path, equals, value = (part.strip() for part in edit.partition("="))
    *tables, key = path.split(".")
    if not equals or not all([*tables, key]):
        raise BadValue(f"--set takes key.sub=value, not {edit!r}")
    for name in tables:
        tree = _inside(tree, name)
    tree[key] = value


def choose(tree: Table, kind: str, key: str, text: str) -> None:
    """Put the component that a flag names in its table; an empty flag changes nothing.

    Args:
        tree: the table that has the component.
        kind: of the component.
        key: of the component in ``tree``.
        text: the flag, ``name:key=value...``.
    """
    if not text:
        return
    name, options = parse(text)
    before = _table(tree.get(key, {}))
    same = "name" in before and _qualified(kind, before["name"]) == _qualified(kind, name)
    tree[key] = {**(before if same else {}), "name": name, **options}


def choose_inside(tree: Table, kind: str, text: str) -> None:
    """As `choose`, for a component of the innermost model."""
    if not text:
        return
    table = innermost(tree)
    option = _option(table["name"], kind)
    if option is None:
        raise BadValue(f"--{kind} {text}: model {table['name']!r} has no {kind}")
    choose(table, kind, option.name, text)


def innermost(tree: Table) -> Table:
    """The table of the innermost model, the one without a model inside; missing tables are made."""
    table = tree["model"] = named(tree.get("model", {}), defaults.MODEL)
    while inner := _option(table["name"], "model"):
        default = defaults.MODEL if inner.default is REQUIRED else inner.default
        table[inner.name] = table = named(table.get(inner.name, {}), default)
    return table


def complete_model(tree: Table, network: Callable[[], str]) -> None:
    """Name every component that the model's table leaves open.

    Args:
        tree: the recipe.
        network: returns the name of the default network, where no constructor names one.
    """
    table = innermost(tree)
    fillers = {"sde": lambda: defaults.SDE, "network": network}
    for kind, default in fillers.items():
        option = _option(table["name"], kind)
        if option is None or option.default is not REQUIRED:
            continue
        part = _table(table.get(option.name, {}))
        table[option.name] = part if "name" in part else {**part, "name": default()}
    tree["model"] = completed("model", tree["model"], defaults.MODEL)


def completed(kind: str, spec: object, default: object) -> Table:
    """A component's table with the defaults of constructors for components that it leaves open."""
    table = named(spec, default)
    if "name" not in table:
        return table
    for option in registry.schema(kind, table["name"]).components:
        value = table.get(option.name)
        if isinstance(option.read(value), str | Mapping):
            table[option.name] = completed(option.kind, value, option.default)
    return table


def without_none(tree: Mapping[str, Any]) -> Table:
    """The tables with the text ``none`` for None, which TOML lacks; options read it back."""
    return {
        key: without_none(value)
        if isinstance(value, Mapping)
        else "none"
        if value is None
        else value
        for key, value in tree.items()
    }


def named(spec: object, default: object) -> Table:
    """A component's table; one without a name takes the name and the options of ``default``."""
    table = _table(spec)
    if "name" in table or not isinstance(default, str | Mapping):
        return table
    return {**_table(default), **table}


def _table(spec: object) -> Table:
    """A component as a table, from a text ``name:key=value`` or a table with such a name."""
    if isinstance(spec, Mapping) and not isinstance(spec.get("name", ""), str):
        raise BadValue(f"a component's name is text, not {spec['name']!r}")
    if not isinstance(spec, str | Mapping):
        raise BadValue(f"expected the name of a component or a table, not {spec!r}")
    text = spec if isinstance(spec, str) else spec.get("name", "")
    name, options = parse(text) if text else ("", {})
    head = {"name": name} if name else {}
    rest = {} if isinstance(spec, str) else {k: v for k, v in spec.items() if k != "name"}
    return {**head, **options, **rest}


def _inside(tree: Table, name: str) -> Table:
    """The table of that name in a table, made where it is missing."""
    value = tree.get(name, {})
    tree[name] = _table(value) if isinstance(value, str) else value
    if not isinstance(tree[name], dict):
        raise BadValue(f"{name!r} is no table that --set could reach into, but {value!r}")
    return tree[name]


def _option(model: str, kind: str) -> Option | None:
    """The first option of a model that is a component of this kind."""
    options = registry.schema("model", model).components
    return next((option for option in options if option.kind == kind), None)


def _qualified(kind: str, name: str) -> str:
    return registry.find(kind, name).qualified
