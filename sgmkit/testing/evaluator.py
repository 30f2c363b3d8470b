"""Checks of an evaluator: its metrics are ideal for equal laws and worse for unlike ones."""

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
"""Standard deviations of noise that is added to samples, which must make them worse."""
SHARE = 0.25
"""Equal laws may be this share of the distance from the ideal at which blurred samples are."""


def applicable(evaluator: Evaluator) -> Iterator[Check]:
    """The checks that apply to an evaluator, according to what it states."""
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
    shown = ((name, value.reason or f"{value.value:.3g}") for name, value in values.items())
    return ", ".join(" ".join(pair) for pair in shown)


def check_reproducible(evaluator: Evaluator) -> str:
    """The same samples and the same noise give the same value."""
    first, again = (_values(evaluator, _sampled()) for _ in range(2))
    for name, value in first.items():
        same = value.value == again[name].value or math.isnan(value.value)
        require(same, f"{name} is {value.value!r}, then {again[name].value!r}")
    return "the same"


def check_inputs(evaluator: Evaluator) -> str:
    """Samples and states are not written to."""
    ctx = _sampled()
    inputs = [value for value in (ctx.samples, ctx.u_T, ctx.u_0) if value is not None]
    before = [value.clone() for value in inputs]
    _values(evaluator, ctx)
    same = all(torch.equal(one, two) for one, two in zip(inputs, before, strict=True))
    require(same, "it writes to the samples or states that it may only read")
    return "untouched"


def check_floor(evaluator: Evaluator) -> str:
    """It works where no solver ran: u_T, u_0 and cell are None."""
    values = _values(evaluator, _fresh())
    for name, value in values.items():
        require(math.isfinite(value.value), f"the floor of {name} is {value.value}")
    return ", ".join(f"{name} {value.value:.3g}" for name, value in values.items())


def check_ideal(evaluator: Evaluator) -> str:
    """Fresh data is near the ideal value, compared with strongly blurred data."""
    finite = [metric for metric in _directed(evaluator) if math.isfinite(metric.ideal)]
    if not finite:
        raise NotApplicable("no metric has a finite ideal")
    same, blurred = (_values(evaluator, _fresh(blur)) for blur in (BLUR[0], BLUR[-1]))
    shown = []
    for metric in finite:
        near, far = (abs(v[metric.name].value - metric.ideal) for v in (same, blurred))
        shown.append(f"{metric.name} off by {near:.2g}, blurred by {far:.2g}")
        good = near < SHARE * far
        require(good, f"{shown[-1]}: equal laws should be close to the ideal {metric.ideal:g}")
    return "; ".join(shown)


def check_worsens(evaluator: Evaluator) -> str:
    """Noise added to samples makes every directed metric worse, and more noise worse still."""
    series = [_values(evaluator, _fresh(blur)) for blur in BLUR]
    shown = []
    for metric in _directed(evaluator):
        values = [row[metric.name].value for row in series]
        sign = 1 if metric.better == "lower" else -1
        shown.append(f"{metric.name} {', '.join(f'{value:.3g}' for value in values)}")
        rising = all(sign * (b - a) > 0 for a, b in itertools.pairwise(values))
        require(rising, f"{shown[-1]} under noise {BLUR}: {metric.better} is declared better")
    return "; ".join(shown)


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
    """The values that it returns for ``ctx``, by metric: all declared ones and no other."""
    try:
        values = list(evaluator.evaluate(ctx))
    except Incompatible as reason:
        raise NotApplicable(str(reason)) from None
    names, declared = [value.metric for value in values], [m.name for m in evaluator.metrics]
    complaint = f"values are named {', '.join(names)}; declared: {', '.join(declared)}"
    require(sorted(names) == sorted(declared), complaint)
    return {value.metric: value for value in values}


def _directed(evaluator: Evaluator) -> list[Metric]:
    directed = [metric for metric in evaluator.metrics if metric.better]
    if not directed:
        raise NotApplicable("no metric has a better direction")
    return directed


def _reference(n: int) -> Tensor:
    return ReferenceData().draw("test", n, SeededNoise(11, range(n))).x


@functools.cache
def _run() -> tuple[ReferenceModel, Tensor, Tensor, Tensor, Tensor]:
    """The reference model and one run of it: samples, start, end and calls."""
    model = ReferenceModel()
    grid = ReferenceGrid()(model.problem.sde, 32, model.t_min)
    samples = model.sample(COUNT, ReferenceSolver(), grid, SeededNoise(12, range(COUNT)))
    return model, samples.x, samples.start, samples.u, samples.nfe


def _sampled() -> Context:
    """The context of a cell: a solver ran."""
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
    """The context of a floor row: fresh data instead of samples, with noise added to it."""
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
