"""Negative log-likelihood of data under the model."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from typing_extensions import Doc

from sgmkit.dataset import dequantise
from sgmkit.evaluator import Context, Evaluator, Metric, Value
from sgmkit.likelihood import EXACT_TRACE_LIMIT

ELEMENTS = 1 << 19
"""Numbers in the data that one batch holds: what a network remembers for its gradient is more."""


@dataclass(frozen=True)
class Nll(Evaluator):
    """Mean negative log-likelihood of test data, with its 95 % interval over items.

    ``nll-ode`` is the probability flow's value at the cut-off t_min, nats per item; with auxiliary
    phases it is a bound for learned models. Data of grey levels are dequantised first, uniformly,
    and ``nll-bpd`` is what then bounds the levels' own likelihood from above, in bits for each
    number of an item (Theis, van den Oord and Bethge 2016, eq. 7). ``nll-exact`` and
    ``prior-mismatch`` (the mean of log p_T(u_T) - log prior(u_T)) are what only an exact model
    knows: for one data phase ``nll-ode`` is their sum.

    Few probes of many items measure a mean best: one probe each adds 8 % to the interval of a
    trained model of digits, and 1e-4 moves its mean by 0.03 nats of 37 from that of 1e-5, which
    takes twice the calls; 1e-3 by 0.15, but that of the exact model, whose flow is steep, by 15.
    """

    num: Annotated[int, Ge(2), Doc("test items")] = 128
    tol: Annotated[float, Gt(0), Doc("tolerance of the flow")] = 1e-4
    probes: Annotated[
        int, Ge(1), Doc(f"of the trace, where more than {EXACT_TRACE_LIMIT} numbers are driven")
    ] = 1

    metrics = (
        Metric("nll-ode", "lower", -math.inf, "nats"),
        Metric("nll-bpd", "lower", 0.0, "bits/dim"),
        Metric("nll-exact", "lower", -math.inf, "nats"),
        Metric("prior-mismatch", "", 0.0, "nats"),
    )
    scope = "model"

    def evaluate(self, ctx: Context) -> Iterable[Value]:
        """Four rows; without a value where the data have no levels, or the model is not exact."""
        x = ctx.reference(min(self.num, len(ctx.noise.ids)))
        noise = ctx.noise.stream("nll").select(torch.arange(len(x)))
        width, size = ctx.dataset.level_width, x[0].numel()
        if width is not None:
            x = dequantise(x, width, noise.stream("dequantise"))
        driven = size * ctx.model.reverse(noise).sde.driven
        probes = self.probes if driven > EXACT_TRACE_LIMIT else 0
        found: dict[str, list[Tensor]] = {"nats": []}
        for rows in torch.arange(len(x)).split(max(1, ELEMENTS // size)):
            part = ctx.model.nll(
                x[rows],
                noise.select(rows),
                probes=probes,
                rtol=self.tol,
                atol=self.tol,
                t_min=ctx.t_min,
            )
            for name, value in {"nats": part.nats, **part.parts}.items():
                found.setdefault(name, []).append(value)
        nats = torch.cat(found["nats"])
        yield _mean("nll-ode", nats)
        if width is None:
            yield Value("nll-bpd", math.nan, reason="the data have no grey levels")
        else:
            yield _mean("nll-bpd", (nats / size - math.log(width)) / math.log(2))
        for metric, name in (("nll-exact", "exact"), ("prior-mismatch", "mismatch")):
            if name in found:
                yield _mean(metric, torch.cat(found[name]))
            else:
                yield Value(metric, math.nan, reason="only an exact model knows it")


def _mean(metric: str, values: Tensor) -> Value:
    mean, half = float(values.mean()), 1.96 * float(values.std()) / math.sqrt(len(values))
    return Value(metric, mean, mean - half, mean + half, len(values))
