"""Checks of an evaluator: names as declared, ideal on equal laws, worse on unlike ones."""

import functools
import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from sgmkit.errors import Incompatible
from sgmkit.evaluation import Cell, Context, Evaluator, Metric, Value
from sgmkit.noise import SeededNoise
from sgmkit.testing.reference import ReferenceData, ReferenceGrid, ReferenceModel, ReferenceSolver
from sgmkit.testing.result import Check, NotApplicable, global_rng_untouched, require

COUNT = 200
BLUR = (0.0, 0.7, 2.0)
"""Standard deviations of the noise added to samples, which must make them worse."""
SHARE = 0.25
"""How far from ideal equal laws may be, of how far the blurred samples are."""


def applicable(evaluator: Evaluator) -> Iterator[Check]:
    """The checks that make sense for an evaluator, by its declared facts."""
    yield from (check_metrics, check_values, check_reproducible, check_inputs)
    if evaluator.floor:
        yield from (check_floor, check_ideal, check_worsens, check_row_order)
    yield check_global_rng


def check_metrics(evaluator: Evaluator) -> str:
    """Metrics have distinct names, a direction and an ideal value; floors need scope ``cell``."""
    metrics = evaluator.metrics
    require(bool(metrics), "it declares no metrics")
    names = [metric.name for metric in metrics]
    require(len(set(names)) == len(names), f"metrics have one name twice: {', '.join(names)}")
    for metric in metrics:
        good = metric.better in ("lower", "higher", "") and bool(metric.name)
        require(good, f"metric {metric.name!r}: better is {metric.better!r}")
    good = evaluator.scope == "cell" or not evaluator.floor
    require(good, "a floor is a matter of samples: it needs the scope cell")
    directions = (f"{m.name} ({m.better or 'neither'} is better)" for m in metrics)
    return ", ".join(directions)


def check_values(evaluator: Evaluator) -> str:
    """One value for each declared metric: finite inside its interval, or NaN with a reason."""
    values = _values(evaluator, _sampled())
    for name, value in values.items():
        if math.isnan(value.value):
            require(bool(value.reason), f"{name} is NaN without a reason")
        elif math.isfinite(value.ci_low) and math.isfinite(value.ci_high):
            inside = value.ci_low <= value.value <= value.ci_high
            interval = f"[{value.ci_low:.4g}, {value.ci_high:.4g}]"
            require(inside, f"{name} = {value.value:.4g} is outside its interval {interval}")
    told = ((name, value.reason or f"{value.value:.3g}") for name, value in values.items())
    return ", ".join(" ".join(pair) for pair in told)


def check_reproducible(evaluator: Evaluator) -> str:
    """The same samples and the same noise give the same value."""
    first, again = (_values(evaluator, _sampled()) for _ in range(2))
    for name, value in first.items():
        same = value.value == again[name].value or math.isnan(value.value)
        require(same, f"{name} is {value.value!r}, then {again[name].value!r}")
    return "the same"


def check_inputs(evaluator: Evaluator) -> str:
    """Samples and states are left as they were."""
    ctx = _sampled()
    given = [value for value in (ctx.samples, ctx.u_T, ctx.u_0) if value is not None]
    before = [value.clone() for value in given]
    _values(evaluator, ctx)
    same = all(torch.equal(one, two) for one, two in zip(given, before, strict=True))
    require(same, "it writes to the samples that it is given")
    return "untouched"


def check_floor(evaluator: Evaluator) -> str:
    """It works where no solver ran: u_T, u_0, nfe and solver are None."""
    values = _values(evaluator, _fresh())
    for name, value in values.items():
        require(math.isfinite(value.value), f"the floor of {name} is {value.value}")
    return ", ".join(f"{name} {value.value:.3g}" for name, value in values.items())


def check_ideal(evaluator: Evaluator) -> str:
    """Fresh data is near the ideal value, measured by how far badly blurred data is."""
    finite = [metric for metric in _directed(evaluator) if math.isfinite(metric.ideal)]
    if not finite:
        raise NotApplicable("no metric has a finite ideal")
    same, blurred = (_values(evaluator, _fresh(blur)) for blur in (BLUR[0], BLUR[-1]))
    told = []
    for metric in finite:
        near, far = (abs(v[metric.name].value - metric.ideal) for v in (same, blurred))
        told.append(f"{metric.name} off by {near:.2g}, blurred by {far:.2g}")
        good = near < SHARE * far
        require(good, f"{told[-1]}: equal laws should be close to the ideal {metric.ideal:g}")
    return "; ".join(told)


def check_worsens(evaluator: Evaluator) -> str:
    """Noise added to samples makes every directed metric worse, and more noise worse still."""
    series = [_values(evaluator, _fresh(blur)) for blur in BLUR]
    told = []
    for metric in _directed(evaluator):
        values = [found[metric.name].value for found in series]
        sign = 1 if metric.better == "lower" else -1
        told.append(f"{metric.name} {', '.join(f'{value:.3g}' for value in values)}")
        rising = all(sign * (b - a) > 0 for a, b in itertools.pairwise(values))
        require(rising, f"{told[-1]} under noise {BLUR}: {metric.better} is declared better")
    return "; ".join(told)


def check_row_order(evaluator: Evaluator) -> str:
    """The order of the samples does not matter."""
    first, second = _fresh(BLUR[1]), _fresh(BLUR[1])
    second.samples = second.samples.flip(0)
    one, two = (_values(evaluator, ctx) for ctx in (first, second))
    for name, value in one.items():
        apart = abs(value.value - two[name].value)
        good = apart <= 1e-6 * abs(value.value) + 1e-9
        require(good, f"{name} is {value.value:.6g}, with rows reversed {two[name].value:.6g}")
    return "irrelevant"


def check_global_rng(evaluator: Evaluator) -> str:
    """No global random generator is drawn from or seeded."""
    ctx = _sampled()
    with global_rng_untouched():
        _values(evaluator, ctx)
    return "untouched"


def _values(evaluator: Evaluator, ctx: Context) -> dict[str, Value]:
    """What it says about ``ctx``, by metric: all of the declared ones and no other."""
    try:
        found = list(evaluator.evaluate(ctx))
    except Incompatible as reason:
        raise NotApplicable(str(reason)) from None
    names, declared = [value.metric for value in found], [m.name for m in evaluator.metrics]
    told = f"values are named {', '.join(names)}; declared: {', '.join(declared)}"
    require(sorted(names) == sorted(declared), told)
    return {value.metric: value for value in found}


def _directed(evaluator: Evaluator) -> list[Metric]:
    found = [metric for metric in evaluator.metrics if metric.better]
    if not found:
        raise NotApplicable("no metric has a better direction")
    return found


def _reference(n: int) -> Tensor:
    return ReferenceData().draw("test", n, SeededNoise(11, range(n))).x


@functools.cache
def _run() -> tuple[ReferenceModel, Tensor, Tensor, Tensor, Tensor]:
    """The reference model and one run of it: samples, start, end and calls."""
    model = ReferenceModel()
    grid = ReferenceGrid()(model.problem.sde, 32, model.t_min)
    found = model.sample(COUNT, ReferenceSolver(), grid, SeededNoise(12, range(COUNT)))
    return model, found.x, found.start, found.u, found.nfe


def _sampled() -> Context:
    """What an evaluator sees after a solver ran."""
    model, x, start, end, nfe = _run()
    noise = SeededNoise(13, range(COUNT)).stream("evaluate")
    return Context(
        samples=x.clone(),
        u_T=start.clone(),
        u_0=end.clone(),
        cell=Cell(ReferenceSolver(), "none", nfe.clone(), 0.01),
        reference=_reference,
        model=model,
        dataset=ReferenceData(),
        noise=noise,
        t_min=model.t_min,
    )


def _fresh(blur: float = 0.0) -> Context:
    """What it sees in a floor row: fresh data instead of samples, blurred for the worse."""
    model, noise = _run()[0], SeededNoise(14, range(COUNT))
    x = ReferenceData().draw("train", COUNT, noise).x
    x = x + blur * noise.stream("blur")(x)
    return Context(
        samples=x,
        reference=_reference,
        model=model,
        dataset=ReferenceData(),
        noise=SeededNoise(13, range(COUNT)).stream("evaluate"),
        t_min=model.t_min,
    )
