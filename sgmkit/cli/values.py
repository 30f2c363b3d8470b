"""Numbers and choices from the command line, each complaint in words of its option."""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from sgmkit.errors import BadValue

Number = TypeVar("Number", int, float)


def one_of(name: str, value: str, known: Sequence[str]) -> None:
    """Complain unless ``value`` is one of ``known``."""
    from sgmkit.registry.options import near

    if value not in known:
        raise BadValue(f"{name} takes {' or '.join(known)}, not {value!r}{near(value, known)}")


def whole(name: str, text: str, least: int) -> int:
    """A whole number of at least ``least``."""
    return _number(name, text, int, f"a whole number of at least {least}", least)


def wholes(name: str, text: str) -> list[int]:
    """Whole numbers of at least 1, separated by commas."""
    what = "whole numbers of at least 1, separated by commas"
    return [_number(name, word, int, what, 1) for word in text.split(",")]


def positive(name: str, text: str, what: str = "a positive number") -> float:
    """A positive number."""
    return _number(name, text, float, what, 5e-324)


def positives(name: str, text: str) -> list[float]:
    """Positive numbers, separated by commas."""
    what = "positive numbers, separated by commas"
    return [positive(name, word, what) for word in text.split(",")]


def _number(
    name: str, text: str, kind: Callable[[str], Number], what: str, least: Number
) -> Number:
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not least <= value < math.inf:
        raise BadValue(f"{name} takes {what}; {text!r} is not one")
    return value
