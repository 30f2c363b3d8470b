"""What an evaluator is: it turns samples, or the model itself, into numbers with intervals."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal

from torch import Tensor

from sgmkit.data import Dataset
from sgmkit.models import Model
from sgmkit.noise import Noise
from sgmkit.solvers import Last, Solver


@dataclass(frozen=True)
class Metric:
    """A number that an evaluator measures: its name and how to read it.

    Args:
        name: unique among all evaluators of a bench.
        better: whether a lower or a higher value is better; "" if neither is.
        ideal: the value of a perfect model.
        unit: shown beside the value.
    """

    name: str
    better: Literal["lower", "higher", ""]
    ideal: float = 0.0
    unit: str = ""


@dataclass(frozen=True)
class Value:
    """One measured number.

    Args:
        metric: name of the `Metric`.
        value: the number; NaN, with a ``reason``, if there is none.
        ci_low: lower end of the 95 % interval; NaN if there is no interval.
        ci_high: its upper end.
        n: how many samples or items it is computed from.
        reason: why there is no number, in one line.
    """

    metric: str
    value: float
    ci_low: float = math.nan
    ci_high: float = math.nan
    n: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Cell:
    """How the samples of a cell were made.

    Args:
        solver: the solver that ran.
        last: rule for the step from t_min to 0.
        nfe: network evaluations (NFE) of each sample, counted, int64 ``(n,)``.
        seconds: wall-clock seconds per sample.
        decoder_calls: decoder evaluations per sample, which are not part of ``nfe``.
    """

    solver: Solver
    last: Last
    nfe: Tensor
    seconds: float
    decoder_calls: int = 0


@dataclass
class Context:
    """Everything that an evaluator may use. It must not write to the tensors.

    Args:
        samples: decoded samples, ``(n, *event)``. In a floor row they are fresh data instead; an
            evaluator of scope "model" gets none.
        reference: a function of n that returns fresh test data, ``(m, *event)``, where m is the
            smaller of n and the number of test items.
        model: the model under test.
        dataset: the data that the samples should resemble.
        noise: randomness for probes, projections and the like: a stream of its own, with at least
            n sample ids.
        t_min: time at which grids and likelihoods end; NaN in a floor row.
        u_T: states from which the solver started, ``(n, k, *event)``; None if no solver ran.
        u_0: states in which it ended, ``(n, k, *event)``; None if no solver ran.
        cell: how the samples were made; None if no solver ran.
        memo: a dictionary that all cells of one seed share, for what is expensive and the same for
            all of them. Keys should begin with the evaluator's name.
    """

    samples: Tensor
    reference: Callable[[int], Tensor]
    model: Model
    dataset: Dataset
    noise: Noise
    t_min: float
    u_T: Tensor | None = None
    u_0: Tensor | None = None
    cell: Cell | None = None
    memo: dict[Any, Any] = field(default_factory=dict)

    @cached_property
    def flaw(self) -> str:
        """Why the samples cannot be measured; empty if they are finite.

        A bench asks before any evaluator does, and measures nothing of samples with a flaw.
        """
        return not_finite(self.samples, "samples")


def not_finite(x: Tensor, name: str) -> str:
    """``2 of 10 samples are not finite``, with ``name`` for what ``x (n, *event)`` holds.

    Empty if every number is finite.
    """
    count = int((~x.flatten(1).isfinite().all(1)).sum())
    return f"{count} of {len(x)} {name} are not finite" if count else ""


class Evaluator(ABC):
    """Turns samples, or the model itself, into named numbers.

    A subclass states its metrics and defines `evaluate`. Its options are the parameters of its
    constructor, usually the fields of a frozen dataclass; changed options become part of the
    metrics' names in results.

    Attributes:
        metrics: what it measures; `evaluate` returns one `Value` for each.
        scope: "cell" if it looks at samples, and then runs for every cell; "model" if it looks at
            the model itself, and then runs once for all cells of a model.
        floor: whether it can compare data with fresh data. If so, the bench adds a row of that, the
            floor: what a perfect model would get.
    """

    metrics: ClassVar[tuple[Metric, ...]] = ()
    scope: ClassVar[Literal["cell", "model"]] = "cell"
    floor: ClassVar[bool] = False

    @abstractmethod
    def evaluate(self, ctx: Context) -> Iterable[Value]:
        """One `Value` for each of ``metrics``; NaN with a reason where there is no number.

        Raises:
            Incompatible: if it cannot be applied to this model or data at all; the reason becomes
                an ``n/a`` row.
        """
