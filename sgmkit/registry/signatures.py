"""Reads a constructor's signature: parameters, annotations and defaults. Imports no torch."""

import dataclasses
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Union

from sgmkit.errors import UserError

REQUIRED = inspect.Parameter.empty
"""Stands for the default of a parameter that has none."""


def members(annotation: Any) -> list[Any]:
    """The members of a union, without ``Annotated``: ``X | None`` gives ``[X, NoneType]``."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return members(typing.get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [leaf for arg in typing.get_args(annotation) for leaf in members(arg)]
    return [annotation]


def parameters_of(target: type, owner: str) -> list[inspect.Parameter]:
    """The parameters of a constructor; ``*args`` and ``**kwargs`` are refused."""
    if target.__init__ is object.__init__:
        return []
    parameters = list(inspect.signature(target).parameters.values())
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise UserError(
                f"{owner}: {target.__module__}:{target.__qualname__} takes {parameter}; "
                "options must be named parameters, each spelt out"
            )
    return parameters


def default_of(target: type, parameter: inspect.Parameter) -> Any:
    """The parameter's default, or `REQUIRED`; a dataclass field's default factory is called."""
    if dataclasses.is_dataclass(target):
        for field in dataclasses.fields(target):
            if field.name == parameter.name and field.default_factory is not dataclasses.MISSING:
                return field.default_factory()
    return parameter.default


def annotation_of(target: type, parameter: inspect.Parameter, owner: str) -> Any:
    """The parameter's annotation; one written as text is evaluated in the module that wrote it."""
    subject = f"{owner}: parameter {parameter.name!r} of {target.__module__}:{target.__qualname__}"
    if parameter.annotation is REQUIRED:
        raise UserError(f"{subject} has no annotation")
    home = next(base for base in target.__mro__ if "__init__" in vars(base))
    if dataclasses.is_dataclass(home):  # a field may come from a base in another module
        homes = (base for base in target.__mro__ if parameter.name in inspect.get_annotations(base))
        home = next(homes, home)
    scope = vars(sys.modules[home.__module__])
    holder = types.SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    try:
        hints = typing.get_type_hints(holder, scope, {}, include_extras=True)
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        raise UserError(
            f"{subject}: annotation {parameter.annotation!r} cannot be resolved: {error} "
            "(imported under TYPE_CHECKING only?)"
        ) from None
    return hints[parameter.name]


def component_of(annotation: Any, bases: Mapping[str, str]) -> tuple[str, type | None, bool]:
    """The component that an annotation requires: its kind, its base class, and whether a factory.

    ``("", None, False)`` for an annotation that is no component. A factory is
    ``Callable[..., Network]``: the constructor receives a function that builds the component.
    """
    for member in members(annotation):
        if typing.get_origin(member) is Callable:
            kind, base, _ = component_of(typing.get_args(member)[-1], bases)
            return kind, base, True
        for base in getattr(member, "__mro__", ()):
            path = f"{base.__module__}:{base.__qualname__}"
            if path in bases:
                return bases[path], member, False
    return "", None, False
