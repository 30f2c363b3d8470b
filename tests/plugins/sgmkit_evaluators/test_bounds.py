"""The evaluator of bounds: what a model is asked for, and the rows that its answers become."""

import math

import pytest
import torch
from support.golden_solvers_data import Items

from sgmkit import Context, Incompatible, Likelihood, SeededNoise, create
from sgmkit.likelihoods import EXACT_TRACE_LIMIT
from sgmkit_evaluators.bounds import BITS, Bounds
from sgmkit_sdes.vp import VP


class Bounding:
    """A model that records the arguments of `bound`, and returns nats that differ by item."""

    discrete = True
    sde = VP()

    def __init__(self, latent=(2,), kinds=None, refuse=()):
        self.latent, self.kinds, self.refuse, self.calls = latent, kinds or {}, refuse, []

    def state_event(self):
        return self.latent

    def bound(self, x, noise, kind, **options):
        if kind in self.refuse:
            raise Incompatible(f"no {kind} here")
        self.calls.append((kind, len(x), noise.ids.tolist(), options))
        nats = x.double().flatten(1).sum(1)
        return Likelihood(nats, torch.zeros_like(nats), self.kinds.get(kind, kind))


def measure(model, x, **options):
    ctx = Context(
        samples=x[:0],
        reference=lambda n: x[:n],
        model=model,
        dataset=Items(x),
        noise=SeededNoise(3, range(len(x))),
        t_min=0.02,
    )
    evaluator = Bounds(grid=create("grid", "uniform"), **options)
    values = list(evaluator.evaluate(ctx))
    assert sorted(v.metric for v in values) == sorted(m.name for m in evaluator.metrics)
    return {value.metric: value for value in values}


def test_each_bound_has_a_row_in_nats_and_one_in_bits():
    x = torch.arange(24.0, dtype=torch.float64).reshape(6, 4)
    model = Bounding()
    values = measure(model, x, draws=3, steps=7, tol=1e-3)
    mean, half = float(x.sum(1).mean()), 1.96 * float(x.sum(1).std()) / math.sqrt(6)
    for in_nats, in_bits in BITS.items():
        row, bits = values[in_nats], values[in_bits]
        assert (row.value, row.n) == (pytest.approx(mean), 6)
        assert (row.ci_low, row.ci_high) == (pytest.approx(mean - half), pytest.approx(mean + half))
        assert bits.value == pytest.approx(mean / 4 / math.log(2))
    options = {kind: arguments for kind, *_, arguments in model.calls}
    flow = {"probes": 0, "rtol": 1e-3, "atol": 1e-3}
    assert options["iw-ode"] == {"draws": 3, "t_min": 0.02, **flow}
    assert options["nelbo-diffusion"] == {"draws": 3, "t_min": 0.02}
    grid = options["nelbo-chain"].pop("grid")
    assert options["nelbo-chain"] == {"draws": 1, "t_min": 0.02}
    assert (len(grid), float(grid[0]), float(grid[-1])) == (8, 1.0, pytest.approx(0.02))


def test_the_trace_is_estimated_for_large_latents_only():
    x = torch.zeros(2, 1)
    for size, probes in ((EXACT_TRACE_LIMIT, 0), (EXACT_TRACE_LIMIT + 1, 5)):
        model = Bounding((size,))
        measure(model, x, probes=5)
        assert model.calls[0][3]["probes"] == probes


def test_batches_are_as_small_as_the_latents_demand(monkeypatch):
    x, model = torch.arange(5.0)[:, None], Bounding((8,))
    monkeypatch.setattr(Bounds, "batch_elements", 16)
    values = measure(model, x)
    assert [ids for kind, _, ids, _ in model.calls if kind == "iw-ode"] == [[0, 1], [2, 3], [4]]
    assert values["iw-ode"].value == 2


def test_what_is_no_bound_has_no_value():
    model = Bounding(kinds={"iw-ode": "iw-ode-z0"}, refuse=("nelbo-chain",))
    values = measure(model, torch.ones(3, 2))
    for metric, reason in (
        ("iw-ode", "the model's is of kind iw-ode-z0"),
        ("iw-bpd", "the model's is of kind iw-ode-z0"),
        ("nelbo-chain", "no nelbo-chain here"),
        ("nelbo-chain-bpd", "no nelbo-chain here"),
    ):
        assert math.isnan(values[metric].value)
        assert values[metric].reason == reason
    assert values["nelbo-diffusion"].value == 2
