"""What an evaluator is: samples, or the model itself, turned into named numbers with intervals."""

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
    """A number's identity: which way is better, what is perfect, and its unit."""

    name: str
    better: Literal["lower", "higher", ""]
    ideal: float = 0.0
    unit: str = ""


@dataclass(frozen=True)
class Value:
    """One measured number with its 95 % interval; ``nan`` with a ``reason`` where there is none."""

    metric: str
    value: float
    ci_low: float = math.nan
    ci_high: float = math.nan
    n: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Cell:
    """How a cell's samples came about.

    Args:
        solver: what made them.
        last: the last-step rule.
        nfe: network evaluations of each sample, counted, int64 ``(n,)``.
        seconds: seconds per sample.
        decoder_calls: of each sample, which are none of the network.
    """

    solver: Solver
    last: Last
    nfe: Tensor
    seconds: float
    decoder_calls: int = 0


@dataclass
class Context:
    """What an evaluator may look at.

    Args:
        samples: ``(n, *event)``, decoded; fresh data in a floor row, none in model scope.
        reference: ``n -> (m, *event)``, fresh data, ``m = min(n, test items)``.
        model: the model under test.
        dataset: the data it should resemble.
        noise: for probes and projections, a stream of its own, with at least ``n`` sample ids.
        t_min: where grids end; NaN in a floor row.
        u_T: the states the solver started from, ``(n, k, *event)``, where one ran.
        u_0: the states it ended in, ``(n, k, *event)``, where one ran.
        cell: how the samples came about, where a solver made them.
        memo: shared by the cells of one seed: a place for what is dear and the same for all.
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
    """Samples, or the model itself, turned into named numbers.

    Attributes:
        metrics: what it measures; one `Value` is due for each.
        scope: ``cell`` looks at samples; ``model`` at the model as such, once for all its cells.
        floor: whether data against fresh data is meaningful: then the bench adds that row.
    """

    metrics: ClassVar[tuple[Metric, ...]] = ()
    scope: ClassVar[Literal["cell", "model"]] = "cell"
    floor: ClassVar[bool] = False

    @abstractmethod
    def evaluate(self, ctx: Context) -> Iterable[Value]:
        """One `Value` for each of ``metrics``."""
