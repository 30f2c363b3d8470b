"""Negative log-likelihood of test data under the model, in nats per item and in bits per value."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from typing_extensions import Doc

from sgmkit import Model
from sgmkit.data import binarise, dequantise
from sgmkit.evaluation import Context, Evaluator, Metric, Value
from sgmkit.likelihoods import EXACT_TRACE_LIMIT, FlowOptions
from sgmkit.noise import Noise

ELEMENTS = 1 << 19
"""Numbers in the data, or in the driven phases of the states, that one batch holds at most; the
flow's likelihood needs a gradient for each."""


KINDS = {
    "ode": ("nll-ode", "nll-bpd"),
    "nelbo-ode": ("nelbo-ode", "nelbo-bpd"),
    "nelbo-ode-z0": ("nelbo-ode-z0", "nelbo-z0-bpd"),
}
"""For each kind of `Likelihood`, its metric in nats per item and that in bits per value."""


@dataclass(frozen=True)
class Nll(Evaluator):
    """Mean negative log-likelihood of test data, with its 95 % interval over items.

    ``nll-ode`` is the value of the probability flow at the cut-off t_min, in nats per item; with
    auxiliary phases it is a bound for learned models. ``nelbo-ode`` is the negative evidence lower
    bound of a latent model, with one draw of the latents for each item and the prior term from the
    flow. ``nelbo-ode-z0`` is the same for an encoder with a normalising flow: the density of the
    state at the cut-off is then unknown, z_0 is taken for that state, and the value is no strict
    bound.

    ``nll-bpd``, ``nelbo-bpd`` and ``nelbo-z0-bpd`` are bits per dimension, for the data's own
    values. A model with ``discrete`` gets these values and states their probability. For any other
    model, grey levels are first dequantised uniformly; the model's density then bounds their
    probability (Theis, van den Oord and Bethge 2016, eq. 7). Binarised data are drawn from their
    greys, once for each item.

    ``nll-exact`` and ``prior-mismatch`` (the mean of log p_T(u_T) - log prior(u_T)) are known for
    an exact model only; with one phase, ``nll-ode`` is their sum.

    A mean is measured best with few probes and many items. For a trained model of digits, one
    probe for each item makes the interval 8 % wider than the exact trace. A tolerance of 1e-4 moves
    the mean by 0.03 nats of 37 from that at 1e-5, which takes twice the calls. 1e-3 moves it by
    0.15, and for the exact model, whose flow is steep, by 15.
    """

    num: Annotated[int, Ge(2), Doc("number of test items")] = 128
    tol: Annotated[float, Gt(0), Doc("relative and absolute tolerance of the flow's solution")] = (
        1e-4
    )
    probes: Annotated[
        int,
        Ge(1),
        Doc(
            f"probes of the trace; up to {EXACT_TRACE_LIMIT} driven coordinates the trace is exact"
        ),
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
    batch_elements: ClassVar[int] = ELEMENTS

    def evaluate(self, ctx: Context) -> Iterable[Value]:
        """Eight rows; those of other kinds than the model's likelihood have no value."""
        x = ctx.reference(min(self.num, len(ctx.noise.ids)))
        noise = ctx.noise.stream("nll").select(torch.arange(len(x)))
        x, log_volume = model_input(ctx, x, noise)
        kind, numbers = self._likelihood(ctx, x, noise)
        nats, size = numbers["nats"], x[0].numel()
        for name, (in_nats, in_bits) in KINDS.items():
            if name == kind:
                yield from nats_and_bits(in_nats, in_bits, nats, size, log_volume)
            else:
                yield from no_values(in_nats, in_bits, f"the model's likelihood is of kind {kind}")
        for metric, name in (("nll-exact", "exact"), ("prior-mismatch", "mismatch")):
            if name in numbers:
                yield mean_value(metric, numbers[name])
            else:
                yield Value(metric, math.nan, reason="only an exact model knows it")

    def _likelihood(self, ctx: Context, x: Tensor, noise: Noise) -> tuple[str, dict[str, Tensor]]:
        """Kind of the model's likelihood; its nats and their parts, each ``(n, ...)``."""
        options = asdict(flow_options(ctx.model, self.probes, self.tol))
        kind, batches = "", dict[str, list[Tensor]]()
        for rows in batched_rows(ctx.model, x, self.batch_elements):
            part = ctx.model.nll(x[rows], noise.select(rows), t_min=ctx.t_min, **options)
            kind = part.kind
            for name, value in {"nats": part.nats, **part.parts}.items():
                batches.setdefault(name, []).append(value)
        return kind, {name: torch.cat(values) for name, values in batches.items()}


def driven_coordinates(model: Model) -> int:
    """Number of coordinates of a state that the noise drives."""
    return math.prod(model.state_event()) * model.sde.driven


def flow_options(model: Model, probes: int, tol: float) -> FlowOptions:
    """Options of the likelihood flow: the exact trace if the model's states are small enough."""
    exact = driven_coordinates(model) <= EXACT_TRACE_LIMIT
    return FlowOptions(probes=0 if exact else probes, rtol=tol, atol=tol)


def batched_rows(model: Model, x: Tensor, elements: int) -> Iterable[Tensor]:
    """The rows of ``x (n, *event)`` in batches that hold at most ``elements`` numbers."""
    largest = max(x[0].numel(), driven_coordinates(model))
    return torch.arange(len(x)).split(max(1, elements // largest))


def model_input(ctx: Context, x: Tensor, noise: Noise) -> tuple[Tensor, float | None]:
    """Test items as the model's likelihood takes them, and the log-volume of a value's cell.

    Args:
        ctx: the model and its data set.
        x: test items, ``(n, *event)``, as the data set returns them.
        noise: for binarisation and dequantisation.

    Returns:
        The items, ``(n, *event)``; and log w, where w is the width of the cell over which a value
        was spread. It is 0 if the model states probabilities of values, and None if the data have
        no grey levels.
    """
    data, width = ctx.dataset, ctx.dataset.level_width
    if data.likelihood == "bernoulli":
        x, width = binarise(x, noise.stream("binarise")), 2.0
    if ctx.model.discrete:
        return x, 0.0
    if width is None:
        return x, None
    return dequantise(x, width, noise.stream("dequantise")), math.log(width)


def nats_and_bits(
    in_nats: str, in_bits: str, nats: Tensor, size: int, log_volume: float | None
) -> Iterable[Value]:
    """Rows for the mean in nats per item, and in bits per dimension.

    Args:
        in_nats: name of the first metric.
        in_bits: name of the second.
        nats: of each item, ``(n,)``.
        size: values in an item.
        log_volume: of a value's cell, see `model_input`.
    """
    yield mean_value(in_nats, nats)
    if log_volume is None:
        yield Value(in_bits, math.nan, reason="the data have no grey levels")
    else:
        # -log2 P of a value, where P is about its density times the volume of its cell.
        yield mean_value(in_bits, (nats / size - log_volume) / math.log(2))


def no_values(in_nats: str, in_bits: str, reason: str) -> Iterable[Value]:
    """The rows of `nats_and_bits` without a value."""
    yield from (Value(metric, math.nan, reason=reason) for metric in (in_nats, in_bits))


def mean_value(metric: str, values: Tensor) -> Value:
    """The mean of the values ``(n,)`` of items, with its 95 % interval."""
    mean, half = float(values.mean()), 1.96 * float(values.std()) / math.sqrt(len(values))
    return Value(metric, mean, mean - half, mean + half, len(values))
