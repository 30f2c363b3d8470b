"""`sgmkit info`: a component and its options; of a solver also its facts, declared and measured."""

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
LEAST_WITH_BOUNDS = 100
"""Least width of the terminal, in letters, at which the bounds get a column of their own."""
VALUE_WIDTH = 22
"""Greatest width of the columns of defaults and of chosen values; longer values are folded."""
LEAST_BESIDE_NAMES = VALUE_WIDTH + 34
"""Least width of all columns together, without that of the names."""


def info_command(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="sde, model, solver, ...")],
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A name that `sgmkit list` shows, with options or without."
        ),
    ],
) -> None:
    """Show a component and its options; of a solver also its facts, declared and measured."""
    import inspect

    from sgmkit import registry
    from sgmkit.registry.options import parse

    bare, chosen = parse(name)
    offer = registry.find(kind, bare)
    schema = registry.schema(kind, bare)
    _check_options(schema, chosen)
    plugin, component = offer.plugin, offer.component
    out = console()
    out.print(f"{kind} {offer.qualified} ({plugin.distribution} {plugin.version})")
    out.print(component.summary)
    if component.aliases:
        out.print(f"aliases: {', '.join(component.aliases)}")
    paragraph = (inspect.getdoc(schema.cls) or "").split("\n\n")[0]
    out.print(f"\n{' '.join(paragraph.split())}")
    _print_options(out, schema, chosen)
    if kind == "solver":
        _print_facts(out, name)


def _print_facts(out: "Console", spec: str) -> None:
    """A row for each declared fact beside what is measured of it; then the processes it refuses.

    Of a solver that cannot be built, the reason is printed instead.
    """
    from sgmkit.cli import check
    from sgmkit.errors import UserError

    try:
        solver = check.build_solver(spec)
    except UserError as error:
        out.print(f"not measured: {error}")
        return
    rows = table("fact", "declared", "measured")
    for fact in check.solver_facts(solver):
        rows.add_row(*fact)
    out.print(rows)
    out.print(f"citation: {solver.citation or 'none'}")
    for line in check.refusals(solver):
        out.print(line)


def _check_options(schema: "Schema", chosen: dict[str, str]) -> None:
    """Complain about a wrong option; required components may be left out here."""
    from sgmkit import registry

    for option in schema.components:
        if option.name in chosen:
            registry.resolve(option.kind, chosen[option.name])
    schema.values({**{option.name: "" for option in schema.components}, **chosen})


def _print_options(out: "Console", schema: "Schema", chosen: dict[str, str]) -> None:
    """The table of options: type, default, the value that the user chose, bounds and meaning."""
    if not schema.options:
        out.print("\nno options")
        return
    bounds_column = out.width >= LEAST_WITH_BOUNDS  # else the bounds stand below the type
    headers = ["option", "type", "default", *(["chosen"] if chosen else [])]
    rows = table(*headers, *(["bounds"] if bounds_column else []), "meaning")
    for option in schema.options.values():
        words, bounds, meaning = _describe(option)
        kind = words if bounds_column or not bounds else f"{words}\n{bounds}"
        values = [_default(option), *([chosen.get(option.name, "")] if chosen else [])]
        limits = [bounds] if bounds_column else []
        rows.add_row(option.name, kind, *map(_folded, values), *limits, meaning)
    # No name is cut: a terminal that is narrower than this breaks the lines itself.
    out.width = max(out.width, max(map(len, schema.options)) + LEAST_BESIDE_NAMES)
    out.print(rows)


def _folded(text: str) -> str:
    """``text`` in lines of at most `VALUE_WIDTH`, broken after ``:`` or ``,`` where possible."""
    return "\n".join(
        re.findall(
            rf".{{1,{VALUE_WIDTH}}}$|.{{0,{VALUE_WIDTH - 1}}}[:,]|.{{1,{VALUE_WIDTH}}}", text
        )
    )


def _default(option: "Option") -> str:
    """The default as a user would write it; a component by its short label, as in reports."""
    from sgmkit import registry
    from sgmkit.errors import UserError
    from sgmkit.registry.options import REQUIRED, spell

    if option.default is REQUIRED:
        return "required"
    if option.kind and isinstance(option.default, str | Mapping):
        try:
            return registry.resolve(option.kind, option.default).label
        except UserError:  # it may not be installed: then its name is shown as written
            pass
    return spell(option.default)


def _describe(option: "Option") -> tuple[str, str, str]:
    """Type, bounds and meaning of an option, from its annotation, in words."""
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
