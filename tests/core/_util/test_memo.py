"""Coefficients that are computed once: for equal values only, and never for what could change."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from sgmkit import SeededNoise, create
from sgmkit._util.memo import KEPT, tabled
from sgmkit_exact.exact import Exact
from sgmkit_sdes.vp import VP
from sgmkit_solvers.ddim import DDIM


@pytest.fixture
def counted():
    calls = []

    @tabled
    def function(*args):
        calls.append(args)
        return len(calls)

    return function, calls


def grid(*times):
    return torch.tensor(times, dtype=torch.float64)


def test_equal_values_share_a_table(counted):
    function, calls = counted
    one = function(VP(), grid(1.0, 0.5), True)
    assert function(VP(), grid(1.0, 0.5), True) == one
    assert function(VP(beta_max=20.0), grid(1.0, 0.5), True) == one
    assert len(calls) == 1


@pytest.mark.parametrize(
    "other",
    [
        (VP(beta_max=19.0), grid(1.0, 0.5), True),
        (VP(), grid(1.0, 0.4), True),
        (VP(), grid(1.0, 0.5)[:, None], True),
        (VP(), grid(1.0, 0.5).float(), True),
        (VP(), grid(1.0, 0.5), False),
        (VP(), grid(1.0, 0.5), 1),
    ],
    ids=["option", "times", "shape", "dtype", "flag", "type"],
)
def test_other_values_do_not(counted, other):
    function, calls = counted
    function(VP(), grid(1.0, 0.5), True)
    function(*other)
    assert len(calls) == 2


class Tuned(VP):
    """No data class of its own: its factor is not among the fields."""

    factor = 1.0

    def clock(self, t):
        return self.factor * super().clock(t)


@dataclass
class Loose:
    value: float = 1.0


@dataclass(frozen=True)
class Holder:
    inner: object


@pytest.mark.parametrize("made", [Tuned, Loose, lambda: Holder(Loose()), lambda: nn.Linear(1, 1)])
def test_what_could_change_is_computed_anew(counted, made):
    function, calls = counted
    value = made()
    function(value)
    function(value)
    assert len(calls) == 2


def test_old_tables_make_room(counted):
    function, calls = counted
    for n in range(KEPT + 1):
        function(n)
    function(KEPT)
    assert len(calls) == KEPT + 1
    function(0)
    assert len(calls) == KEPT + 2


def test_a_process_that_changes_is_sampled_as_it_is(monkeypatch):
    sde, data, times = Tuned(), create("dataset", "two-moons"), grid(1.0, 0.5, 0.1)
    first = Exact(sde, data).sample(4, DDIM(), times, SeededNoise(0, range(4))).x
    sde.__dict__["factor"] = 0.5
    second = Exact(sde, data).sample(4, DDIM(), times, SeededNoise(0, range(4))).x
    monkeypatch.setattr(Tuned, "factor", 0.5)
    fresh = Exact(Tuned(), data).sample(4, DDIM(), times, SeededNoise(0, range(4))).x
    assert not torch.allclose(first, second)
    assert torch.equal(second, fresh)
