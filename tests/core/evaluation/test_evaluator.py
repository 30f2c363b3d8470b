"""What the records of evaluation hold where nothing else is said."""

import math

import torch

from sgmkit import Context, SeededNoise, Value
from sgmkit.testing.reference import ReferenceData, ReferenceModel


def test_a_value_without_interval_has_none():
    value = Value("height", 2.0)
    assert math.isnan(value.ci_low)
    assert math.isnan(value.ci_high)
    assert (value.n, value.reason) == (0, "")


def test_contexts_where_no_solver_ran_share_nothing():
    one, two = (
        Context(
            samples=torch.zeros(3, 2),
            reference=lambda n: torch.zeros(n, 2),
            model=ReferenceModel(),
            dataset=ReferenceData(),
            noise=SeededNoise(0, range(3)),
            t_min=math.nan,
        )
        for _ in range(2)
    )
    assert one.u_T is one.u_0 is one.cell is None
    one.memo["height"] = 1
    assert two.memo == {}
