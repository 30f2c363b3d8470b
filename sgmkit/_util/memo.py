"""Coefficients of a whole grid, computed once for all batches that are sampled on it."""

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import wraps
from typing import TypeVar

from torch import Tensor

T = TypeVar("T")

KEPT = 64
"""Tables that each function remembers: a bench goes through its grids one after the other."""


def tabled(function: Callable[..., T]) -> Callable[..., T]:
    """Remember what ``function`` returned for the same values: its result is not to be changed.

    Values are numbers, texts, times (float64 tensors on the CPU) and frozen data classes of such,
    as an SDE or a solver usually is. Anything else could change unseen, and is computed anew.
    """
    kept: OrderedDict[Hashable, T] = OrderedDict()

    @wraps(function)
    def wrapper(*args: object) -> T:
        key = tuple(map(_key, args))
        if None in key:
            return function(*args)
        if key not in kept:
            kept[key] = function(*args)
            if len(kept) > KEPT:
                kept.popitem(last=False)
        return kept[key]

    return wrapper


def _key(value: object) -> Hashable:
    """What stands for a value, or None if it could change."""
    if isinstance(value, int | float | str):
        return type(value), value
    if isinstance(value, Tensor):
        return (str(value.dtype), *value.shape, *value.flatten().tolist())
    kind = type(value)
    # A subclass that is no data class itself may hold what its fields do not tell.
    if "__dataclass_params__" not in vars(kind) or not vars(kind)["__dataclass_params__"].frozen:
        return None
    fields = [getattr(value, field.name) for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    keys = tuple(map(_key, fields))
    return None if None in keys else (kind, *keys)
