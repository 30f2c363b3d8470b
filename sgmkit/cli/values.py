"""Readers of option values: a parser for each type of number, and one complaint for all of them.

A command annotates an option with the type that it gets and names the reader that makes it:
``steps: Annotated[int, typer.Option(parser=whole_number(1))] = 50``.
"""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import typer

from sgmkit.errors import BadValue

Number = TypeVar("Number", int, float)


class NotAccepted(typer.BadParameter):
    """A value that an option does not take: ``--steps takes a number; 'x' is not one``."""

    def format_message(self) -> str:
        """The complaint in one line, beginning with the option's name."""
        option = self.param.opts[0] if self.param else "this option"
        return f"{option} takes {self.message}"


class WholeNumbers(tuple[int, ...]):
    """Whole numbers that were given as ``10,20,50``."""


class PositiveNumbers(tuple[float, ...]):
    """Positive numbers that were given as ``1e-2,1e-3``."""


def whole_number(least: int) -> Callable[[str | int], int]:
    """A reader of one whole number of at least ``least``."""
    return lambda text: _number(text, int, f"a whole number of at least {least}", least)


def positive_number(text: str | float) -> float:
    """Read one positive number."""
    return _number(text, float, "a positive number", SMALLEST)


def whole_numbers(text: str | WholeNumbers) -> WholeNumbers:
    """Read whole numbers of at least 1, separated by commas."""
    expected = "whole numbers of at least 1, separated by commas"
    return WholeNumbers(_number(word, int, expected, 1) for word in _words(text))


def positive_numbers(text: str | PositiveNumbers) -> PositiveNumbers:
    """Read positive numbers, separated by commas."""
    expected = "positive numbers, separated by commas"
    return PositiveNumbers(_number(word, float, expected, SMALLEST) for word in _words(text))


def choice(*choices: str) -> Callable[[str], str]:
    """A reader of one of ``choices``, which names the nearest one."""

    def read(text: str) -> str:
        from sgmkit.registry.options import near

        if text not in choices:
            raise NotAccepted(f"{_listed(choices)}, not {text!r}{near(text, choices)}")
        return text

    return read


def check_choice(option: str, value: str, choices: Sequence[str]) -> None:
    """Complain unless ``value``, one of the values of an option, is one of ``choices``."""
    from sgmkit.registry.options import near

    if value not in choices:
        near_miss = near(value, choices)
        raise BadValue(f"{option} takes {_listed(choices)}, not {value!r}{near_miss}")


SMALLEST = 5e-324
"""The smallest positive float64: the least positive number."""


def _number(text: object, kind: type[Number], expected: str, least: Number) -> Number:
    try:
        value = kind(text)  # type: ignore[arg-type]
    except ValueError:
        value = None
    if value is None or not least <= value < math.inf:
        raise NotAccepted(f"{expected}; {text!r} is not one")
    return value


def _words(text: str | Sequence[object]) -> Sequence[object]:
    return text.split(",") if isinstance(text, str) else text


def _listed(choices: Sequence[str]) -> str:
    *others, last = choices
    return f"{', '.join(others)} or {last}" if others else last
