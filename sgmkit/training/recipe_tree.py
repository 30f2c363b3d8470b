"""Edits of a recipe's tree: tables by kind, flags that reach the innermost model, defaults."""

from collections.abc import Callable, Mapping
from typing import Any

from sgmkit import registry
from sgmkit.errors import BadValue
from sgmkit.registry import defaults
from sgmkit.registry.options import Option, parse
from sgmkit.registry.signatures import REQUIRED

Table = dict[str, Any]


def copied(recipe: Mapping[str, Any]) -> Table:
    """A copy of all tables, to be edited."""
    inner = recipe.items()
    return {key: copied(value) if isinstance(value, Mapping) else value for key, value in inner}


def put(tree: Table, edit: str) -> None:
    """Make one edit, ``key.sub=value``; a value is text, read when its option is known."""
    path, equals, value = (part.strip() for part in edit.partition("="))
    *tables, key = path.split(".")
    if not equals or not all([*tables, key]):
        raise BadValue(f"--set takes key.sub=value, not {edit!r}")
    for name in tables:
        tree = _inside(tree, name)
    tree[key] = value


def choose(tree: Table, kind: str, key: str, text: str) -> None:
    """Put the component that a flag names in its place; nothing where ``text`` is empty."""
    if not text:
        return
    name, given = parse(text)
    before = _table(tree.get(key, {}))
    same = "name" in before and _qualified(kind, before["name"]) == _qualified(kind, name)
    tree[key] = {**(before if same else {}), "name": name, **given}


def choose_inside(tree: Table, kind: str, text: str) -> None:
    """The same for a component of the innermost model."""
    if not text:
        return
    table = innermost(tree)
    option = _option(table["name"], kind)
    if option is None:
        raise BadValue(f"--{kind} {text}: model {table['name']!r} has no {kind}")
    choose(table, kind, option.name, text)


def innermost(tree: Table) -> Table:
    """The table of the model that has no model inside, which it makes where it is not there."""
    table = tree["model"] = named(tree.get("model", {}), defaults.MODEL)
    while inner := _option(table["name"], "model"):
        default = defaults.MODEL if inner.default is REQUIRED else inner.default
        table[inner.name] = table = named(table.get(inner.name, {}), default)
    return table


def fill(tree: Table, network: Callable[[], str]) -> None:
    """Decide what the model leaves open: an SDE, and a network where no constructor names one."""
    table = innermost(tree)
    fillers = {"sde": lambda: defaults.SDE, "network": network}
    for kind, default in fillers.items():
        option = _option(table["name"], kind)
        if option is None or option.default is not REQUIRED:
            continue
        given = _table(table.get(option.name, {}))
        table[option.name] = given if "name" in given else {**given, "name": default()}
    tree["model"] = completed("model", tree["model"], defaults.MODEL)


def completed(kind: str, spec: object, default: object) -> Table:
    """A component's table in which every table has a name, from the constructors' defaults."""
    table = named(spec, default)
    if "name" not in table:
        return table
    for option in registry.schema(kind, table["name"]).components:
        value = table.get(option.name)
        if isinstance(option.read(value), str | Mapping):
            table[option.name] = completed(option.kind, value, option.default)
    return table


def without_none(tree: Mapping[str, Any]) -> Table:
    """TOML has no null: the text ``none``, which an option reads back."""
    return {
        key: without_none(value)
        if isinstance(value, Mapping)
        else "none"
        if value is None
        else value
        for key, value in tree.items()
    }


def named(spec: object, default: object) -> Table:
    """A component's table, with the name of ``default`` and its options where it has none."""
    table = _table(spec)
    if "name" in table or not isinstance(default, str | Mapping):
        return table
    return {**_table(default), **table}


def _table(spec: object) -> Table:
    """``"name:key=value"`` or a table whose name is such a text, as a table."""
    if isinstance(spec, Mapping) and not isinstance(spec.get("name", ""), str):
        raise BadValue(f"a component's name is text, not {spec['name']!r}")
    if not isinstance(spec, str | Mapping):
        raise BadValue(f"expected the name of a component or a table, not {spec!r}")
    text = spec if isinstance(spec, str) else spec.get("name", "")
    name, given = parse(text) if text else ("", {})
    head = {"name": name} if name else {}
    rest = {} if isinstance(spec, str) else {k: v for k, v in spec.items() if k != "name"}
    return {**head, **given, **rest}


def _inside(tree: Table, name: str) -> Table:
    value = tree.get(name, {})
    tree[name] = _table(value) if isinstance(value, str) else value
    if not isinstance(tree[name], dict):
        raise BadValue(f"{name!r} is no table that --set could reach into, but {value!r}")
    return tree[name]


def _option(model: str, kind: str) -> Option | None:
    """The first option of a model that is a component of a kind."""
    found = (x for x in registry.schema("model", model).components if x.kind == kind)
    return next(found, None)


def _qualified(kind: str, name: str) -> str:
    return registry.find(kind, name).qualified
