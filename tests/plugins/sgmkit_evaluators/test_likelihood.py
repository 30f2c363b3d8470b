"""The likelihood evaluator: what it asks of a model, and what it makes of grey levels."""

import math

import pytest
import torch
from support.golden_solvers_data import MIXTURE, Items
from support.processes import f64

from sgmkit import Context, Likelihood, Reverse, SeededNoise
from sgmkit.data import binarise, dequantise
from sgmkit.likelihoods import EXACT_TRACE_LIMIT
from sgmkit_datasets.digits import Digits
from sgmkit_evaluators.likelihood import Nll
from sgmkit_exact.exact import Exact
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.vp import VP


class Levels(Items):
    """Items on five levels, -1 to 1."""

    value_range = (-1.0, 1.0)
    levels = 5


class Recorder:
    """A model that records the arguments of `nll`, and returns nats that differ by item."""

    def __init__(self, sde, kind="ode", discrete=False, latent=None):
        self.sde, self.kind, self.discrete, self.calls = sde, kind, discrete, []
        self.latent = latent

    def state_event(self):
        return self.latent or self.event

    def reverse(self, noise, y=None):
        return Reverse(self.sde, None, noise)

    def nll(self, x, noise, **options):
        self.calls.append((x, noise.ids.tolist(), options))
        nats = x.double().flatten(1).sum(1)
        return Likelihood(nats, torch.zeros_like(nats), self.kind)


class Ones(Levels):
    """The same, binarised."""

    likelihood = "bernoulli"


def context(model, data, items, rows=40):
    if isinstance(model, Recorder):
        model.event = tuple(items.shape[1:])
    return Context(
        samples=items[:0],
        reference=lambda n: items[:n],
        model=model,
        dataset=data,
        noise=SeededNoise(3, range(rows)),
        t_min=0.02,
    )


def measured(evaluator, ctx):
    values = list(evaluator.evaluate(ctx))
    assert [value.metric for value in values] == [metric.name for metric in evaluator.metrics]
    return {value.metric: value for value in values}


def test_levels_are_dequantised():
    """Evenly over the cell of each, another number for each; the levels themselves stay."""
    x = f64([-1.0, -0.5, 0.0, 0.5, 1.0]).repeat(40, 5)
    model, data = Recorder(VP()), Levels(x)
    before = x.clone()
    measured(Nll(num=30), context(model, data, x))
    ((seen, ids, options),) = model.calls
    assert ids == list(range(30))
    assert options == {"rtol": 1e-4, "atol": 1e-4, "probes": 1, "t_min": 0.02}
    moved = (seen - x[:30]) / 0.5
    assert float(moved.abs().max()) < 0.5
    assert moved.unique().numel() == moved.numel()
    cells = torch.histc(moved.flatten(), 5, -0.5, 0.5) / moved.numel()
    assert float((cells - 0.2).abs().max()) < 4 * math.sqrt(0.16 / moved.numel())
    assert torch.equal(x, before)
    measured(Nll(num=30), context(model, data, x))
    assert torch.equal(model.calls[1][0], seen)


def test_bits_per_dimension():
    """A density that is uniform over the cells leaves log2 of their number, to the bit."""
    x = f64([-1.0, -0.5, 0.0, 0.5, 1.0]).repeat(40, 2)
    model = Recorder(VP())
    model.nll = lambda x, noise, **_: Likelihood(
        torch.full((len(x),), 10 * math.log(5 * 0.5), dtype=torch.float64), None, "ode"
    )
    values = measured(Nll(), context(model, Levels(x), x))
    assert values["nll-ode"].value == pytest.approx(10 * math.log(2.5), rel=1e-12)
    assert values["nll-bpd"].value == pytest.approx(math.log2(5), rel=1e-12)
    assert Nll.metrics[1].unit == "bits/dim"


def test_bits_per_dimension_of_a_gaussian():
    """Levels of N(0, 1): the bound lies above their entropy, by little where cells are narrow."""
    width = 0.25
    edges = width * (torch.arange(-24, 26, dtype=torch.float64) - 0.5)
    share = torch.special.ndtr(edges).diff()
    entropy = -float((share * share.log2()).nan_to_num().sum())
    uniform = SeededNoise(0, range(20_000)).uniform(torch.empty(20_000, dtype=torch.float64))
    place = torch.searchsorted(share.cumsum(0), uniform)
    x = (width * (place - 24).double())[:, None]

    class Fine(Items):
        value_range, levels = (-6.0, 6.0), 49

    model = Recorder(VP())

    def nll(x, noise, **options):
        nats = 0.5 * (x.square() + math.log(2 * math.pi))[:, 0]
        return Likelihood(nats, torch.zeros_like(nats), "ode")

    model.nll = nll
    ctx = context(model, Fine(x), x, 20_000)
    value = measured(Nll(num=20_000), ctx)["nll-bpd"]
    excess = width**2 / 24 / math.log(2)  # half of what spreading adds to the variance
    assert value.ci_low < entropy + excess < value.ci_high
    assert value.ci_high - value.ci_low < 0.05


def test_intervals_are_those_of_the_mean():
    x = f64([-1.0, -0.5, 0.0, 0.5, 1.0]).repeat(40, 1)
    model = Recorder(VP())
    values = measured(Nll(num=25), context(model, Levels(x), x))
    nats = model.calls[0][0].sum(1)
    ode, bits = values["nll-ode"], values["nll-bpd"]
    half = 1.96 * float(nats.std()) / 5
    assert (ode.n, bits.n) == (25, 25)
    assert ode.ci_high - ode.value == pytest.approx(half, rel=1e-9)
    assert bits.ci_high - bits.value == pytest.approx(half / 5 / math.log(2), rel=1e-9)


def test_data_without_levels_are_left_alone():
    x = MIXTURE.mixture().means.repeat(4, 1)
    model = Recorder(VP())
    values = measured(Nll(), context(model, MIXTURE, x))
    assert torch.equal(model.calls[0][0], x)
    assert values["nll-bpd"].reason == "the data have no grey levels"
    assert values["nelbo-bpd"].reason == "the model's likelihood is of kind ode"
    assert math.isnan(values["nll-bpd"].value)
    assert values["nll-exact"].reason == "only an exact model knows it"
    assert values["prior-mismatch"].reason == "only an exact model knows it"


def test_a_discrete_model_gets_the_levels():
    x = f64([-1.0, -0.5, 0.0, 0.5, 1.0]).repeat(40, 3)
    model = Recorder(VP(), discrete=True)
    values = measured(Nll(num=30), context(model, Levels(x), x))
    assert torch.equal(model.calls[0][0], x[:30])
    nats = x[:30].sum(1).mean() / 15
    assert values["nll-bpd"].value == pytest.approx(float(nats) / math.log(2), abs=1e-12)


@pytest.mark.parametrize("discrete", [True, False])
def test_binarised_data_are_drawn_for_each_item(discrete):
    """Of the test items' greys: the same for every model; cells of two values are 2 wide."""
    x = f64([-1.0, -0.5, 0.0, 0.5, 1.0]).repeat(2000, 2)
    model = Recorder(VP(), discrete=discrete)
    values = measured(Nll(num=2000), context(model, Ones(x), x, 2000))
    ((seen, *_),) = model.calls
    if discrete:
        assert seen.unique().tolist() == [-1, 1]
    else:
        assert float((seen.abs() - 1).abs().max()) < 1
    drawn = torch.where(seen > 0, 1.0, -1.0).double()
    again = SeededNoise(3, range(2000)).stream("nll").stream("binarise")
    assert torch.equal(drawn, binarise(x, again))
    assert drawn[:, :5].mean(0).tolist() == pytest.approx([-1, -0.5, 0, 0.5, 1], abs=0.08)
    nats = float(seen.sum(1).mean()) / 10 - (0 if discrete else math.log(2))
    assert values["nll-bpd"].value == pytest.approx(nats / math.log(2), abs=1e-12)


@pytest.mark.parametrize("discrete", [True, False])
def test_bounds_have_rows_of_their_own(discrete):
    x = f64([-1.0, -0.5, 0.0, 0.5, 1.0]).repeat(40, 2)
    model = Recorder(VP(), "nelbo-ode", discrete)
    values = measured(Nll(num=30), context(model, Levels(x), x))
    nats = float(model.calls[0][0].sum(1).mean())
    assert values["nelbo-ode"].value == pytest.approx(nats, abs=1e-12)
    bits = (nats / 10 - (0 if discrete else math.log(0.5))) / math.log(2)
    assert values["nelbo-bpd"].value == pytest.approx(bits, abs=1e-12)
    for metric in ("nll-ode", "nll-bpd"):
        assert math.isnan(values[metric].value)
        assert values[metric].reason == "the model's likelihood is of kind nelbo-ode"
    other = measured(Nll(num=30), context(Recorder(VP(), "iwae"), Levels(x), x))
    assert {math.isnan(value.value) for value in other.values()} == {True}
    assert other["nll-ode"].reason == "the model's likelihood is of kind iwae"


def test_what_is_driven_is_the_state_not_the_data(monkeypatch):
    x = torch.zeros(4, EXACT_TRACE_LIMIT)
    for latent, probes in (((2,), 0), ((EXACT_TRACE_LIMIT + 1,), 3)):
        model = Recorder(VP(), latent=latent)
        measured(Nll(probes=3), context(model, Items(x), x))
        assert model.calls[0][2]["probes"] == probes
    monkeypatch.setattr(Nll, "batch_elements", 40)
    model = Recorder(VP(), latent=(20,))
    measured(Nll(), context(model, Items(x), x))
    assert [len(ids) for _, ids, _ in model.calls] == [2, 2]


@pytest.mark.parametrize("size", [1, EXACT_TRACE_LIMIT, EXACT_TRACE_LIMIT + 1])
def test_the_trace_is_exact_where_it_is_cheap(size):
    x = torch.zeros(4, size)
    for sde in (VP(), CLD()):  # one phase of two is driven
        model = Recorder(sde)
        measured(Nll(probes=3), context(model, Items(x), x))
        assert model.calls[0][2]["probes"] == (0 if size <= EXACT_TRACE_LIMIT else 3)


def test_batches_change_nothing(monkeypatch):
    model = Exact(CLD(), MIXTURE)
    x = MIXTURE.mixture().means.repeat(3, 1)
    whole = measured(Nll(tol=1e-2), context(model, MIXTURE, x))
    monkeypatch.setattr(Nll, "batch_elements", 8)
    parts = measured(Nll(tol=1e-2), context(model, MIXTURE, x))
    for metric in ("nll-ode", "nll-exact", "prior-mismatch"):
        assert parts[metric].value == pytest.approx(whole[metric].value, rel=1e-9)
        assert parts[metric].n == 9
    counted = Recorder(VP())
    measured(Nll(), context(counted, MIXTURE, x))
    assert [len(ids) for _, ids, _ in counted.calls] == [4, 4, 1]


def test_an_exact_model_of_digits():
    """All of it is of the dequantised items: what only an exact model knows, and the bits."""
    data = Digits()
    model, items = Exact(VP(), data), data.items("test").x
    values = measured(Nll(num=4, tol=1e-2), context(model, data, items))
    noise = SeededNoise(3, range(40)).stream("nll").select(torch.arange(4)).stream("dequantise")
    x = dequantise(items[:4], 1 / 8, noise)
    exact = -model.log_prob_data(x, f64(0.02)).mean()
    assert values["nll-exact"].value == pytest.approx(float(exact), rel=1e-6)
    bits = (values["nll-ode"].value / 64 + math.log(8)) / math.log(2)
    assert values["nll-bpd"].value == pytest.approx(bits, rel=1e-6)
