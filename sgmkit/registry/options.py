"""Options: from text to values, by the schema that a constructor's signature states. No torch."""

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


def near(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'heun'?"``, or nothing where no known name resembles ``name``."""
    match = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {match[0]!r}?" if match else ""


def parse(text: str) -> tuple[str, dict[str, str]]:
    """Read ``name[:key=value]...``; brackets protect separators: ``unet:channels=(32,64)``."""
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
    """The text that `parse` and a schema read back as ``value``."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, _SEQUENCES):
        return f"({','.join(map(spell, value))}{',' if len(value) == 1 else ''})"
    text = str(value)
    return f"({text})" if set(text) & set(":,()[]") else text


def show(value: object) -> str:
    """A value for a message: short, on one line; numbers given as text without quotes."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return value
    return " ".join(reprlib.repr(value).split())


def _split(text: str, separator: str) -> list[str]:
    """Split at the separators that stand outside all brackets."""
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
    """Without the one pair of brackets that encloses all of ``text``, if there is one."""
    if text[:1] not in ("(", "[") or text[-1:] not in (")", "]"):
        return text
    depth = 0
    for char in text[:-1]:
        depth += (char in "([") - (char in ")]")
        if depth == 0:
            return text
    return text[1:-1].strip()


def _sequence(text: str) -> list[Any]:
    items = [item.strip() for item in _split(_bare(text.strip()), ",")]
    if not items[-1]:
        items.pop()  # "(1,)" and "()"
    return [_sequence(item) if item[:1] in ("(", "[") else item for item in items]


@dataclass(frozen=True)
class Option:
    """One parameter of a constructor that a user may set.

    Args:
        name: of the parameter.
        annotation: as written, resolved, ``Annotated`` included.
        default: `REQUIRED` where there is none: component parameters only.
        kind: of component, where the annotation is a base class of one; else empty.
        base: the class that such a component must be of.
        later: whether a callable that builds it is wanted, ``Callable[..., Network]``: for what
            depends on parameters that only its user knows.
    """

    name: str
    annotation: Any
    default: Any = REQUIRED
    kind: str = ""
    base: type | None = None
    later: bool = False

    def read(self, value: object) -> object:
        """Text as the structure that the annotation asks for; anything else untouched."""
        if not isinstance(value, str):
            return value
        if self.optional and value.strip().lower() == "none":
            return None
        allowed = members(self.annotation)
        choices = (
            x for m in allowed if typing.get_origin(m) is Literal for x in typing.get_args(m)
        )
        known: dict[str, object] = {spell(choice): choice for choice in choices}
        if value in known or str in allowed:
            return known.get(value, value)
        sequence = any((typing.get_origin(member) or member) in _SEQUENCES for member in allowed)
        return _sequence(value) if sequence else value

    @property
    def optional(self) -> bool:
        """Whether None is a value."""
        return types.NoneType in members(self.annotation)


@dataclass(frozen=True)
class Schema:
    """What a component's constructor takes.

    Args:
        cls: the component's class.
        owner: what messages call it: ``solver 'heun'``.
        options: parameters that a user may set, components among them, in order.
        supplied: parameters without a default that are no components: the core gives them.
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
        """The options that are components."""
        return [option for option in self.options.values() if option.kind]

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Every option's value, validated; components as given, for the registry to resolve."""
        for name in [name for name in given if name not in self.options]:
            listed = f"options: {', '.join(self.options)}" if self.options else "it has none"
            hint = near(name, self.options)
            raise UnknownName(f"unknown option {name!r} for {self.owner}{hint} ({listed})")
        read = {name: self.options[name].read(value) for name, value in given.items()}
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
        """The value of every option that has a default; components as written."""
        written = {x.name: x.default for x in self.components if x.default is not REQUIRED}
        return self._check({}) | written

    def _check(self, plain: Mapping[str, Any]) -> dict[str, Any]:
        import pydantic

        try:
            checked = self._model.model_validate(plain)
        except pydantic.ValidationError as error:
            raise BadValue(self._explain(error.errors()[0])) from None
        fields = self._model.model_fields
        return {field.alias: getattr(checked, key) for key, field in fields.items()}

    def _explain(self, error: Any) -> str:
        text = error["msg"].removeprefix("Value error, ").split(", unable to ")[0]
        text = f"{text[:1].lower()}{text[1:]}, not {show(error['input'])}"
        return f"option {error['loc'][0]!r} of {self.owner}: {text}"

    @cached_property
    def _model(self) -> Any:
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
