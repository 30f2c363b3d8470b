"""What an evaluator of samples is given, and the one value that it answers."""

import torch

from sgmkit import Cell, Context, SeededNoise
from sgmkit.testing.reference import ReferenceData, ReferenceModel


def normal(*shape, seed=0):
    return SeededNoise(seed, range(shape[0]))(torch.empty(shape, dtype=torch.float64))


def context(samples, data, nfe=None, seconds=None, seed=0):
    ran = nfe is not None or seconds is not None
    return Context(
        samples=samples,
        reference=lambda n: data[:n],
        model=ReferenceModel(),
        dataset=ReferenceData(),
        noise=SeededNoise(seed, range(len(samples))),
        t_min=1e-3,
        cell=Cell(None, "none", nfe, seconds) if ran else None,
    )


def measure(evaluator, samples, data, **options):
    (value,) = evaluator.evaluate(context(samples, data, **options))
    assert [value.metric] == [m.name for m in evaluator.metrics]
    return value
