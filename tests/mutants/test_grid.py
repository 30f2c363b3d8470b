"""Time grids with one defect each: the conformance suite must find every one."""

from dataclasses import dataclass

import pytest
import torch
from support.mutants import finds

from sgmkit_solvers.grids import Uniform


class FromOne(Uniform):
    """The horizon taken for one."""

    def times(self, sde, steps, t_min):
        return torch.linspace(1, t_min, steps + 1, dtype=torch.float64)


class Upward(Uniform):
    def times(self, sde, steps, t_min):
        return super().times(sde, steps, t_min).flip(0)


class Single(Uniform):
    def times(self, sde, steps, t_min):
        return super().times(sde, steps, t_min).float()


class OneShort(Uniform):
    def times(self, sde, steps, t_min):
        return super().times(sde, steps, t_min)[: max(steps, 2)]


@dataclass(frozen=True)
class Remembering(Uniform):
    def times(self, sde, steps, t_min):
        key = (sde, steps, t_min)
        return self.__dict__.setdefault("memo", {}).setdefault(key, super().times(*key))


@pytest.mark.parametrize(
    ("mutant", "name", "message"),
    [
        (FromOne, "check_ends", "from 1 to 0.006, not 2 to 0.006"),
        (Upward, "check_decreasing", "do not decrease"),
        (Single, "check_form", "torch.float32 on cpu, not float64 on the CPU"),
        (OneShort, "check_form", "(17,) for 17 steps"),
        (Remembering, "check_fresh", "two calls return one tensor"),
    ],
)
def test_grid_mutants(mutant, name, message):
    finds("grid", mutant(), name, message)
