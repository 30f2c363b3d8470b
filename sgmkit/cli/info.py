"""`sgmkit info`: one component, its options, and of a solver what it declares and what it does."""

import re
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgmkit.cli.printing import console, table

if TYPE_CHECKING:
    from rich.console import Console

    from sgmkit.registry.options import Option, Schema

_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "multiple_of": "multiple of"}
_LENGTHS = {"min_length": "length >=", "max_length": "length <="}
WIDE = 100
"""Width from which on the bounds have a column of their own."""
FOLD = 22
"""Width of the default's column, at most."""
LEAST = FOLD + 34
"""Width of all columns but the names', at least."""


def info(
    kind: Annotated[str, typer.Argument(help="sde, model, solver, ...")],
    name: Annotated[str, typer.Argument(help="As shown by sgmkit list, with options or without.")],
) -> None:
    """Show one component and its options; of a solver its facts, declared and measured."""
    import inspect

    from sgmkit import registry
    from sgmkit.registry.options import parse

    bare, given = parse(name)
    offer = registry.find(kind, bare)
    schema = registry.schema(kind, bare)
    _check_options(schema, given)
    plugin, component = offer.plugin, offer.component
    out = console()
    out.print(f"{kind} {offer.qualified} ({plugin.distribution} {plugin.version})")
    out.print(component.summary)
    if component.aliases:
        out.print(f"aliases: {', '.join(component.aliases)}")
    paragraph = (inspect.getdoc(schema.cls) or "").split("\n\n")[0]
    out.print(f"\n{' '.join(paragraph.split())}")
    _print_options(out, schema, given)
    if kind == "solver":
        from sgmkit.cli import facts

        facts.print_facts(out, name)


def _check_options(schema: "Schema", given: dict[str, str]) -> None:
    """Complain about what is given; what is needed besides need not be given here."""
    from sgmkit import registry

    for option in schema.components:
        if option.name in given:
            registry.resolve(option.kind, given[option.name])
    schema.values({**{option.name: "" for option in schema.components}, **given})


def _print_options(out: "Console", schema: "Schema", given: dict[str, str]) -> None:
    if not schema.options:
        out.print("\nno options")
        return
    apart = out.width >= WIDE  # else the bounds stand below the type
    chosen = ["given"] if given else []
    rows = table("option", "type", "default", *chosen, *(["bounds"] if apart else []), "meaning")
    for option in schema.options.values():
        words, bounds, meaning = _describe(option)
        kind = words if apart or not bounds else f"{words}\n{bounds}"
        values = [_default(option), *(given.get(option.name, "") for _ in chosen)]
        limits = [bounds] if apart else []
        rows.add_row(option.name, kind, *map(_folded, values), *limits, meaning)
    # No name is cut: a terminal that is narrower still breaks the lines itself.
    out.width = max(out.width, max(map(len, schema.options)) + LEAST)
    out.print(rows)


def _folded(text: str) -> str:
    """On lines of at most `FOLD` columns, which end where an option or an item does if they can."""
    return "\n".join(re.findall(rf".{{1,{FOLD}}}$|.{{0,{FOLD - 1}}}[:,]|.{{1,{FOLD}}}", text))


def _default(option: "Option") -> str:
    """The default as one would write it: a component as reports name it."""
    from sgmkit import registry
    from sgmkit.errors import UserError
    from sgmkit.registry.options import REQUIRED, spell

    if option.default is REQUIRED:
        return "required"
    if option.kind and isinstance(option.default, str | Mapping):
        try:
            return registry.resolve(option.kind, option.default).label
        except UserError:  # not installed, say, which is not for this command to judge
            pass
    return spell(option.default)


def _describe(option: "Option") -> tuple[str, str, str]:
    """Type, bounds and meaning of an option, in words."""
    from annotated_types import GroupedMetadata
    from typing_extensions import Doc

    from sgmkit.registry.options import members

    notes: list[Any] = []
    if typing.get_origin(option.annotation) is Annotated:
        for item in option.annotation.__metadata__:
            notes += item if isinstance(item, GroupedMetadata) else [item]
    bounds = [
        f"{sign} {getattr(note, name)}"
        for note in notes
        for name, sign in (_SIGNS | _LENGTHS).items()
        if getattr(note, name, None) is not None
    ]
    kind = option.kind + " | None" * option.optional if option.kind else ""
    words = kind or " | ".join(_type_words(member) for member in members(option.annotation))
    meaning = " ".join(note.documentation for note in notes if isinstance(note, Doc))
    return words, ", ".join(bounds), meaning


def _type_words(annotation: Any) -> str:
    if typing.get_origin(annotation) is typing.Literal:
        return " | ".join(map(str, typing.get_args(annotation)))
    if annotation is type(None):
        return "None"
    return annotation.__name__ if type(annotation) is type else str(annotation)
