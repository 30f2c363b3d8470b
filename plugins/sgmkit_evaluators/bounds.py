"""Upper bounds of a latent model's negative log-likelihood, besides that of the evaluator `nll`."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Gt
from typing_extensions import Doc

from sgmkit import Grid, Incompatible, Likelihood
from sgmkit.evaluation import Context, Evaluator, Metric, Value
from sgmkit.likelihoods import EXACT_TRACE_LIMIT
from sgmkit.models import Bound
from sgmkit_evaluators.likelihood import (
    ELEMENTS,
    batched_rows,
    flow_options,
    model_input,
    nats_and_bits,
    no_values,
)

BITS = {
    "iw-ode": "iw-bpd",
    "nelbo-diffusion": "nelbo-diffusion-bpd",
    "nelbo-chain": "nelbo-chain-bpd",
}
"""For each kind of bound, which is also its metric in nats, the metric in bits per dimension."""


@dataclass(frozen=True)
class Bounds(Evaluator):
    """Upper bounds of the mean negative log-likelihood of test data, in nats and in bits.

    ``iw-ode`` is the importance-weighted bound from ``draws`` draws of the latents, whose prior
    density is that of the probability flow; it falls with ``draws``. It is a bound up to the error
    of the flow's trace estimate: the chance in ``probes`` makes it too low, by about half a
    variance. That amount is added back; more probes make it smaller.

    ``nelbo-diffusion`` is the objective of training, the variational bound in continuous time, at
    one random time for each of ``draws``. ``nelbo-chain`` is the bound of the ancestral chain with
    ``steps`` steps. Intervals are over items.
    """

    num: Annotated[int, Ge(2), Doc("number of test items")] = 128
    draws: Annotated[int, Ge(1), Doc("draws of the latents for each item")] = 8
    steps: Annotated[int, Ge(1), Doc("steps of the ancestral chain")] = 200
    grid: Annotated[Grid, Doc("times of the ancestral chain")] = "solvers/logsnr"  # type: ignore[assignment]
    tol: Annotated[float, Gt(0), Doc("relative and absolute tolerance of the flow's solution")] = (
        1e-4
    )
    probes: Annotated[
        int,
        Ge(2),
        Doc(
            f"probes of the trace; up to {EXACT_TRACE_LIMIT} driven coordinates the trace is exact"
        ),
    ] = 8

    metrics = (
        *(Metric(name, "lower", -math.inf, "nats") for name in BITS),
        *(Metric(name, "lower", 0.0, "bits/dim") for name in BITS.values()),
    )
    scope = "model"
    batch_elements: ClassVar[int] = ELEMENTS

    def evaluate(self, ctx: Context) -> Iterable[Value]:
        """Six rows; they have no value for a model without latents."""
        x = ctx.reference(min(self.num, len(ctx.noise.ids)))
        noise = ctx.noise.stream("nll").select(torch.arange(len(x)))
        x, log_volume = model_input(ctx, x, noise)
        model = ctx.model
        batches = list(batched_rows(model, x, self.batch_elements))
        flow = asdict(flow_options(model, self.probes, self.tol))
        options: dict[Bound, dict[str, Any]] = {
            "iw-ode": {"draws": self.draws, **flow},
            "nelbo-diffusion": {"draws": self.draws},
            "nelbo-chain": {"draws": 1, "grid": self.grid(model.sde, self.steps, ctx.t_min)},
        }
        for kind, keywords in options.items():
            parts = list[Likelihood]()
            try:
                for rows in batches:
                    source = noise.select(rows).stream(kind)
                    parts.append(model.bound(x[rows], source, kind, t_min=ctx.t_min, **keywords))
            except Incompatible as reason:
                yield from no_values(kind, BITS[kind], str(reason))
                continue
            # A model may answer with an estimate of another kind, which is no bound: no value then.
            other = {part.kind for part in parts} - {kind}
            if other:
                yield from no_values(kind, BITS[kind], f"the model's is of kind {other.pop()}")
            else:
                nats = torch.cat([part.nats for part in parts])
                yield from nats_and_bits(kind, BITS[kind], nats, x[0].numel(), log_volume)
