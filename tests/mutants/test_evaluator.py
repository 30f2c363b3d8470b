"""Evaluators with one defect each: the conformance suite must find every one."""

from dataclasses import replace

import pytest
import torch
from support.mutants import finds

from sgmkit import Value
from sgmkit_evaluators.kernel_distances import EnergyDistance


class Misnamed(EnergyDistance):
    def evaluate(self, ctx):
        return [replace(value, metric="energy") for value in super().evaluate(ctx)]


class Upwards(EnergyDistance):
    metrics = (replace(EnergyDistance.metrics[0], better="higher"),)


class Offset(EnergyDistance):
    def evaluate(self, ctx):
        return [Value("energy-distance", value.value + 1) for value in super().evaluate(ctx)]


class OutOfItsInterval(EnergyDistance):
    def evaluate(self, ctx):
        return [replace(value, value=value.ci_high + 1) for value in super().evaluate(ctx)]


class FirstRow(EnergyDistance):
    def evaluate(self, ctx):
        first = float(ctx.samples[0].abs().sum())
        return [replace(value, value=value.value + first) for value in super().evaluate(ctx)]


class Silent(EnergyDistance):
    def evaluate(self, ctx):
        return [Value("energy-distance", float("nan"))]


class GlobalProbes(EnergyDistance):
    def evaluate(self, ctx):
        return [Value("energy-distance", float(torch.rand(())))]  # noqa: TID251


class Centring(EnergyDistance):
    def evaluate(self, ctx):
        ctx.samples -= ctx.samples.mean(0)
        return super().evaluate(ctx)


@pytest.mark.parametrize(
    ("mutant", "name", "message"),
    [
        (Misnamed, "check_values", "values are named energy; declared: energy-dist"),
        (Upwards, "check_worsens", "higher is declared better"),
        (Offset, "check_ideal", "equal laws should be close to the ideal 0"),
        (OutOfItsInterval, "check_values", "is outside its interval"),
        (FirstRow, "check_row_order", "with rows reversed"),
        (Silent, "check_values", "energy-distance is NaN without a reason"),
        (GlobalProbes, "check_reproducible", "energy-distance is 0."),
        (GlobalProbes, "check_global_rng", "it uses a global random generator"),
        (Centring, "check_inputs", "it writes to the samples"),
    ],
)
def test_evaluator_mutants(mutant, name, message):
    finds("evaluator", mutant(), name, message)
