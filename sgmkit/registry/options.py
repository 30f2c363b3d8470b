"""Options: reads them from text and validates them by a constructor's signature. No torch."""

import difflib
import re
import reprlib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from sgmkit.errors import BadValue, UnknownName, UserError
from sgmkit.registry.signatures import (
    REQUIRED,
    annotation_of,
    component_of,
    default_of,
    members,
    parameters_of,
)

_SEQUENCES = (tuple, list)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|[-+]?(nan|inf)", re.IGNORECASE)


def near(name: str, candidates: Iterable[str]) -> str:
    """``"; did you mean 'heun'?"``, or an empty text if no candidate resembles ``name``."""
    match = difflib.get_close_matches(name, list(candidates), n=1)
    return f"; did you mean {match[0]!r}?" if match else ""


def parse(text: str) -> tuple[str, dict[str, str]]:
    """Read ``name[:key=value]...``; brackets hide separators: ``unet:multipliers=(1,2)``."""
    name, *pairs = (part.strip() for part in _split(text, ":"))
    if not name:
        raise BadValue(f"expected name[:key=value]..., not {text!r}")
    options: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not key.isidentifier():
            raise BadValue(f"{name}:{pair}: expected key=value")
        if key in options:
            raise BadValue(f"{text}: option {key!r} is given twice")
        options[key] = _bare(value)
    return name, options


def parse_list(text: str) -> list[tuple[str, dict[str, str]]]:
    """Read a comma-separated list of ``name[:key=value]...``."""
    items = _split(text, ",")
    if not all(item.strip() for item in items):
        raise BadValue(f"expected names separated by commas, not {text!r}")
    return [parse(item) for item in items]


def spell(value: object) -> str:
    """A text from which `parse` and a schema read ``value`` back."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, _SEQUENCES):
        return f"({','.join(map(spell, value))}{',' if len(value) == 1 else ''})"
    text = str(value)
    return f"({text})" if set(text) & set(":,()[]") else text


def show(value: object) -> str:
    """A value as messages show it: short, on one line; a number in a text without quotes."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return value
    return " ".join(reprlib.repr(value).split())


def _split(text: str, separator: str) -> list[str]:
    """Split at the separators that are outside all brackets."""
    parts, depth, start = [], 0, 0
    for index, char in enumerate(text):
        depth += (char in "([") - (char in ")]")
        if depth < 0:
            break
        if char == separator and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    if depth:
        raise BadValue(f"{text}: unbalanced brackets")
    return [*parts, text[start:]]


def _bare(text: str) -> str:
    """``text`` without the pair of brackets that encloses all of it, if there is such a pair."""
    if text[:1] not in ("(", "[") or text[-1:] not in (")", "]"):
        return text
    depth = 0
    for char in text[:-1]:
        depth += (char in "([") - (char in ")]")
        if depth == 0:
            return text
    return text[1:-1].strip()


def _sequence(text: str) -> list[Any]:
    """The items of ``(1,2)`` as text; items in brackets become lists themselves."""
    items = [item.strip() for item in _split(_bare(text.strip()), ",")]
    if not items[-1]:
        items.pop()  # "(1,)" and "()"
    return [_sequence(item) if item[:1] in ("(", "[") else item for item in items]


@dataclass(frozen=True)
class Option:
    """One parameter of a constructor that a user may set.

    Args:
        name: name of the parameter.
        annotation: its annotation, ``Annotated`` included.
        default: its default; `REQUIRED` if there is none, which only components may lack.
        kind: kind of component if the annotation is a base class of one, else empty.
        base: class that such a component must be of.
        later: the constructor takes a factory of the component, ``Callable[..., Network]``, and
            builds it when it knows what the component needs, such as its shapes.
    """

    name: str
    annotation: Any
    default: Any = REQUIRED
    kind: str = ""
    base: type | None = None
    later: bool = False

    def read(self, value: object) -> object:
        """A text as the structure that the annotation requires; any other value unchanged."""
        if not isinstance(value, str):
            return value
        if self.optional and value.strip().lower() == "none":
            return None
        allowed = members(self.annotation)
        choices = (
            x for m in allowed if typing.get_origin(m) is Literal for x in typing.get_args(m)
        )
        spelt: dict[str, object] = {spell(choice): choice for choice in choices}
        if value in spelt or str in allowed:
            return spelt.get(value, value)
        sequence = any((typing.get_origin(member) or member) in _SEQUENCES for member in allowed)
        return _sequence(value) if sequence else value

    @property
    def optional(self) -> bool:
        """Whether the option may be None."""
        return types.NoneType in members(self.annotation)


@dataclass(frozen=True)
class Schema:
    """The parameters of a component's constructor.

    Args:
        cls: class of the component.
        owner: its name in messages, such as ``solver 'heun'``.
        options: the parameters that a user may set, components included, in order.
        supplied: the other parameters, without a default, whose values the core supplies, such as
            the shapes of a network.
    """

    cls: type
    owner: str
    options: Mapping[str, Option]
    supplied: tuple[str, ...]

    @classmethod
    def read(cls, target: type, owner: str, kinds: Mapping[str, str]) -> "Schema":
        """Read the signature of ``target``; ``kinds`` maps each kind to ``"module:BaseClass"``."""
        bases = {path: kind for kind, path in kinds.items()}
        options, supplied = {}, []
        for parameter in parameters_of(target, owner):
            annotation = annotation_of(target, parameter, owner)
            default, name = default_of(target, parameter), parameter.name
            component = component_of(annotation, bases)
            if component[0] or default is not REQUIRED:
                options[name] = Option(name, annotation, default, *component)
            else:
                supplied.append(name)
        if "name" in options:
            raise UserError(f"{owner}: no option may be called 'name', which names the component")
        return cls(target, owner, options, tuple(supplied))

    @property
    def components(self) -> list[Option]:
        """The options whose values are components."""
        return [option for option in self.options.values() if option.kind]

    def values(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """The value of every option, validated; components stay as chosen, for the registry."""
        for name in [name for name in chosen if name not in self.options]:
            listed = f"options: {', '.join(self.options)}" if self.options else "it has none"
            hint = near(name, self.options)
            raise UnknownName(f"unknown option {name!r} for {self.owner}{hint} ({listed})")
        read = {name: self.options[name].read(value) for name, value in chosen.items()}
        plain = {name: value for name, value in read.items() if not self.options[name].kind}
        checked = self._check(plain)
        for option in self.components:
            if (value := read.get(option.name, option.default)) is REQUIRED:
                raise BadValue(
                    f"{self.owner} needs option {option.name!r}: "
                    f"the name of a component of kind {option.kind} (sgmkit list {option.kind})"
                )
            checked[option.name] = value
        return {name: checked[name] for name in self.options}

    def defaults(self) -> dict[str, Any]:
        """The default of every option that has one; components as they are written."""
        written = {x.name: x.default for x in self.components if x.default is not REQUIRED}
        return self._check({}) | written

    def _check(self, plain: Mapping[str, Any]) -> dict[str, Any]:
        """Validated values of all options that are no components, defaults included."""
        import pydantic

        try:
            checked = self._model.model_validate(plain)
        except pydantic.ValidationError as error:
            raise BadValue(self._explain(error.errors()[0])) from None
        fields = self._model.model_fields
        return {field.alias: getattr(checked, key) for key, field in fields.items()}

    def _explain(self, error: Any) -> str:
        """An error of pydantic as one line that names the option, the rule and the value."""
        text = error["msg"].removeprefix("Value error, ").split(", unable to ")[0]
        text = f"{text[:1].lower()}{text[1:]}, not {show(error['input'])}"
        return f"option {error['loc'][0]!r} of {self.owner}: {text}"

    @cached_property
    def _model(self) -> Any:
        """A pydantic model with a field for each option that is no component."""
        import pydantic

        # Aliases, because a field's own name may not shadow the attributes of a pydantic model.
        fields: dict[str, Any] = {
            f"option_{index}": (option.annotation, pydantic.Field(option.default, alias=name))
            for index, (name, option) in enumerate(self.options.items())
            if not option.kind
        }
        config = pydantic.ConfigDict(extra="forbid", validate_default=True)
        try:
            return pydantic.create_model("Options", __config__=config, **fields)
        except (pydantic.errors.PydanticUserError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{self.owner}: an option's type is not understood: {reason}") from None
