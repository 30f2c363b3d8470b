"""Negative log-likelihood of data under the model."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from typing_extensions import Doc

from sgmkit.data import binarise, dequantise
from sgmkit.evaluation import Context, Evaluator, Metric, Value
from sgmkit.likelihoods import EXACT_TRACE_LIMIT
from sgmkit.noise import Noise

ELEMENTS = 1 << 19
"""Numbers in the data, or in the driven states, that one batch holds: a gradient needs more."""


KINDS = {
    "ode": ("nll-ode", "nll-bpd"),
    "nelbo-ode": ("nelbo-ode", "nelbo-bpd"),
    "nelbo-ode-z0": ("nelbo-ode-z0", "nelbo-z0-bpd"),
}
"""Kinds of `Likelihood` that have rows: in nats, and in bits for each number of an item."""


@dataclass(frozen=True)
class Nll(Evaluator):
    """Mean negative log-likelihood of test data, with its 95 % interval over items.

    ``nll-ode`` is the probability flow's value at the cut-off t_min, nats per item; with auxiliary
    phases it is a bound for learned models. ``nelbo-ode`` is the negative evidence lower bound of a
    latent model, one draw of the latents for each item, whose prior term is that of the flow;
    ``nelbo-ode-z0`` the same with a normalising flow in the encoder, whose density of the state at
    the cut-off is not known: it takes z_0 for that state, and is no strict bound.

    ``nll-bpd`` and ``nelbo-bpd`` are bits for each number of an item, of the data's own values.
    A model that is ``discrete`` is given these, and says their probability. For any other, grey
    levels are dequantised first, uniformly: its density then bounds theirs (Theis, van den Oord
    and Bethge 2016, eq. 7). Binarised data are drawn from their greys, once for each item.

    ``nll-exact`` and ``prior-mismatch`` (the mean of log p_T(u_T) - log prior(u_T)) are what only
    an exact model knows: for one data phase ``nll-ode`` is their sum.

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
        Metric("nelbo-ode", "lower", -math.inf, "nats"),
        Metric("nelbo-bpd", "lower", 0.0, "bits/dim"),
        Metric("nelbo-ode-z0", "lower", -math.inf, "nats"),
        Metric("nelbo-z0-bpd", "lower", 0.0, "bits/dim"),
        Metric("nll-exact", "lower", -math.inf, "nats"),
        Metric("prior-mismatch", "", 0.0, "nats"),
    )
    scope = "model"

    def evaluate(self, ctx: Context) -> Iterable[Value]:
        """Eight rows; no value where the model's likelihood or the data are of other kinds."""
        x = ctx.reference(min(self.num, len(ctx.noise.ids)))
        noise = ctx.noise.stream("nll").select(torch.arange(len(x)))
        x, volume = values_of(ctx, x, noise)
        kind, found = self._asked(ctx, x, noise)
        nats, size = found["nats"], x[0].numel()
        for name, (in_nats, in_bits) in KINDS.items():
            if name != kind:
                yield from neither_of(in_nats, in_bits, f"the model's likelihood is of kind {kind}")
                continue
            yield from both_of(in_nats, in_bits, nats, size, volume)
        for metric, name in (("nll-exact", "exact"), ("prior-mismatch", "mismatch")):
            if name in found:
                yield mean_of(metric, found[name])
            else:
                yield Value(metric, math.nan, reason="only an exact model knows it")

    def _asked(self, ctx: Context, x: Tensor, noise: Noise) -> tuple[str, dict[str, Tensor]]:
        """The kind of the model's likelihood; its nats and their parts, each ``(n, ...)``."""
        model = ctx.model
        driven = math.prod(model.state_event()) * model.sde.driven
        probes = self.probes if driven > EXACT_TRACE_LIMIT else 0
        kind, found = "", dict[str, list[Tensor]]()
        for rows in torch.arange(len(x)).split(max(1, ELEMENTS // max(x[0].numel(), driven))):
            part = model.nll(
                x[rows],
                noise.select(rows),
                probes=probes,
                rtol=self.tol,
                atol=self.tol,
                t_min=ctx.t_min,
            )
            kind = part.kind
            for name, value in {"nats": part.nats, **part.parts}.items():
                found.setdefault(name, []).append(value)
        return kind, {name: torch.cat(values) for name, values in found.items()}


def values_of(ctx: Context, x: Tensor, noise: Noise) -> tuple[Tensor, float | None]:
    """What the model is given for test items, and the log-volume of a value's cell in a number.

    That is 0 where the model says probabilities, and None where the data are no levels at all.
    """
    data, width = ctx.dataset, ctx.dataset.level_width
    if data.likelihood == "bernoulli":
        x, width = binarise(x, noise.stream("binarise")), 2.0
    if ctx.model.discrete:
        return x, 0.0
    if width is None:
        return x, None
    return dequantise(x, width, noise.stream("dequantise")), math.log(width)


def both_of(
    in_nats: str, in_bits: str, nats: Tensor, size: int, volume: float | None
) -> Iterable[Value]:
    """Rows of nats ``(n,)`` of items of ``size`` numbers: as they are, and in bits of a number.

    Args:
        volume: see `values_of`.
    """
    yield mean_of(in_nats, nats)
    if volume is None:
        yield Value(in_bits, math.nan, reason="the data have no grey levels")
    else:
        yield mean_of(in_bits, (nats / size - volume) / math.log(2))


def neither_of(in_nats: str, in_bits: str, reason: str) -> Iterable[Value]:
    """The rows of `both_of` without a value."""
    yield from (Value(row, math.nan, reason=reason) for row in (in_nats, in_bits))


def mean_of(metric: str, values: Tensor) -> Value:
    """The mean of values ``(n,)`` of items, with its 95 % interval."""
    mean, half = float(values.mean()), 1.96 * float(values.std()) / math.sqrt(len(values))
    return Value(metric, mean, mean - half, mean + half, len(values))
