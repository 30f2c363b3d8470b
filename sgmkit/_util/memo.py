"""Remembering coefficients: each is computed once, however many batches are sampled with it.

Coefficients depend on the process, the solver and the time grid only. `remembered` is for functions
that compute the coefficients of a whole grid; a `Memo` of its own is for an object that is called
at one time after the other.
"""

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from functools import partial, wraps
from typing import Generic, ParamSpec, TypeVar, cast

import torch
from torch import Tensor

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
P = ParamSpec("P")

TIMES_KEPT = 4096
"""Single times that a `Memo` remembers."""
GRIDS_KEPT = 64
"""Argument lists that each `remembered` function remembers: a bench goes from grid to grid."""


class Memo(Generic[K, V]):
    """Values that were computed, by key; when there are too many, the oldest is forgotten.

    Values are computed without gradients and outside of inference mode, so that what was first
    computed while sampling serves training as well. They are shared: do not change them in place.

    Args:
        kept: how many values are remembered, those that `pin` gave not counted.
    """

    def __init__(self, kept: int = TIMES_KEPT) -> None:
        self._kept = kept
        self._values: OrderedDict[K, V] = OrderedDict()
        self._pinned: dict[K, V] = {}

    def get(self, key: K, compute: Callable[[], V]) -> V:
        """The value remembered for ``key``; the first time, what ``compute`` returns."""
        if key in self._pinned:
            return self._pinned[key]
        if key not in self._values:
            with torch.inference_mode(False), torch.no_grad():
                self._values[key] = compute()
            if len(self._values) > self._kept:
                self._values.popitem(last=False)
        return self._values[key]

    def pin(self, values: Mapping[K, V]) -> None:
        """Remember ``values`` for as long as this memo lives, instead of any earlier ones.

        For coefficients of a grid that were computed together: computed again one by one, they
        might differ in the last bit.
        """
        self._pinned.update(values)

    def __len__(self) -> int:
        return len(self._values) + len(self._pinned)


def remembered(function: Callable[P, V], kept: int = GRIDS_KEPT) -> Callable[P, V]:
    """Decorate a function so that equal arguments are computed once.

    Arguments are compared by value: numbers, texts, None, tensors (times: small, on the CPU), and
    frozen data classes whose fields are such values, as an SDE or a solver usually is. With any
    other argument, which might have changed since, the function is computed anew. The result is
    shared: do not change it in place.
    """
    memo: Memo[Hashable, V] = Memo(kept)

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> V:
        named = (part for pair in kwargs.items() for part in pair)
        key = _values((len(args), *args, *named))
        call = partial(function, *args, **kwargs)
        return call() if key is None else memo.get(key, call)

    return wrapper


def _values(args: tuple[object, ...]) -> Hashable | None:
    """The values of all arguments as a key, or None if one of them could change."""
    keys = tuple(map(_value, args))
    return None if None in keys else keys


def _value(argument: object) -> Hashable | None:
    """What equal arguments share, or None for an argument that could change."""
    if isinstance(argument, int | float | str | None):
        return type(argument), argument
    if isinstance(argument, Tensor):
        return (str(argument.dtype), *argument.shape, *argument.flatten().tolist())
    kind = type(argument)
    # Read from the class itself: a subclass that is no data class may hold more than its fields.
    parameters = vars(kind).get("__dataclass_params__")
    if parameters is None or not parameters.frozen:
        return None
    fields = dataclasses.fields(cast("type", kind))
    keys = _values(tuple(getattr(argument, field.name) for field in fields))
    return None if keys is None else (kind, keys)
