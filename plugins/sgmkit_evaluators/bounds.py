"""Bounds of a latent model's likelihood besides that of `nll`, each named for what it is."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from typing_extensions import Doc

from sgmkit import Grid, Incompatible, Likelihood
from sgmkit.evaluation import Context, Evaluator, Metric, Value
from sgmkit.likelihoods import EXACT_TRACE_LIMIT
from sgmkit.models import Bound
from sgmkit_evaluators.likelihood import ELEMENTS, both_of, neither_of, values_of

BITS = {
    "iw-ode": "iw-bpd",
    "nelbo-diffusion": "nelbo-diffusion-bpd",
    "nelbo-chain": "nelbo-chain-bpd",
}
"""Kinds, and the names of their rows in bits."""


@dataclass(frozen=True)
class Bounds(Evaluator):
    """Upper bounds of the mean negative log-likelihood of test data.

    In nats per item; and, as those of `Nll`, in bits for each number of an item.

    ``iw-ode`` is the importance-weighted bound of ``draws`` latents, whose prior terms are those of
    the probability flow; it falls with ``draws``. It bounds to the accuracy of the flow's trace
    estimate: what ``probes`` leave to chance makes it too low, by about half a variance, which is
    put back; more probes leave less. ``nelbo-diffusion`` is what training descends, the variational
    bound in continuous time, at one random time for each of ``draws``; ``nelbo-chain`` that of the
    ancestral chain with ``steps`` steps. Intervals are over items.
    """

    num: Annotated[int, Ge(2), Doc("test items")] = 128
    draws: Annotated[int, Ge(1), Doc("of latents for each item")] = 8
    steps: Annotated[int, Ge(1), Doc("of the chain, on the grid")] = 200
    grid: Grid = "solvers/logsnr"  # type: ignore[assignment]
    tol: Annotated[float, Gt(0), Doc("tolerance of the flow")] = 1e-4
    probes: Annotated[
        int, Ge(2), Doc(f"of the trace, where more than {EXACT_TRACE_LIMIT} numbers are driven")
    ] = 8

    metrics = (
        *(Metric(name, "lower", -math.inf, "nats") for name in BITS),
        *(Metric(name, "lower", 0.0, "bits/dim") for name in BITS.values()),
    )
    scope = "model"

    def evaluate(self, ctx: Context) -> Iterable[Value]:
        """Six rows; without a value for a model that has no latents."""
        x = ctx.reference(min(self.num, len(ctx.noise.ids)))
        noise = ctx.noise.stream("nll").select(torch.arange(len(x)))
        x, volume = values_of(ctx, x, noise)
        model = ctx.model
        driven = math.prod(model.state_event()) * model.sde.driven
        flow = {"probes": self.probes if driven > EXACT_TRACE_LIMIT else 0}
        flow |= {"rtol": self.tol, "atol": self.tol}
        asked: dict[Bound, dict[str, Any]] = {
            "iw-ode": {"draws": self.draws, **flow},
            "nelbo-diffusion": {"draws": self.draws},
            "nelbo-chain": {"draws": 1, "grid": self.grid(model.sde, self.steps, ctx.t_min)},
        }
        size = max(1, ELEMENTS // max(driven, x[0].numel()))
        for kind, options in asked.items():
            found = list[Likelihood]()
            try:
                for rows in torch.arange(len(x)).split(size):
                    source = noise.select(rows).stream(kind)
                    found.append(model.bound(x[rows], source, kind, t_min=ctx.t_min, **options))
            except Incompatible as reason:
                yield from neither_of(kind, BITS[kind], str(reason))
                continue
            other = {each.kind for each in found} - {kind}
            if other:  # an estimate that is no bound has no place among bounds
                yield from neither_of(kind, BITS[kind], f"the model's is of kind {other.pop()}")
            else:
                nats = torch.cat([each.nats for each in found])
                yield from both_of(kind, BITS[kind], nats, x[0].numel(), volume)
