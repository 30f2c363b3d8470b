"""Coefficients that are computed once: for equal values only, and never for what could change."""

from copy import deepcopy
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from torch import nn

from sgmkit import SeededNoise, create
from sgmkit.processes import Memo, remembered
from sgmkit_exact.exact import Exact
from sgmkit_sdes.vp import VP, Geometric
from sgmkit_solvers.ddim import DDIM


@pytest.fixture
def counted():
    calls = []

    @remembered
    def function(*args, **named):
        calls.append((args, named))
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


@pytest.mark.parametrize("build", [Tuned, Loose, lambda: Holder(Loose()), lambda: nn.Linear(1, 1)])
def test_what_could_change_is_computed_anew(counted, build):
    function, calls = counted
    value = build()
    function(value)
    function(value)
    assert len(calls) == 2


def test_a_name_is_part_of_the_arguments(counted):
    function, calls = counted
    assert function(1, b=2) == function(1, b=2)
    assert function(1, "b", 2) != function(1, b=2)
    assert len(calls) == 2


def test_an_option_without_a_value_is_a_value(counted):
    function, _ = counted
    assert function(Geometric()) == function(Geometric(sigma2_0=None))
    assert function(Geometric(sigma2_0=1e-5)) == 2


def test_the_oldest_result_makes_room():
    calls = []
    function = remembered(lambda n: calls.append(n), kept=3)
    for n in (0, 1, 2, 3, 3):
        function(n)
    assert calls == [0, 1, 2, 3]
    function(0)
    assert calls == [0, 1, 2, 3, 0]


def test_memo_computes_once_and_stays_bounded():
    memo, calls = Memo(kept=3), []

    def compute(t):
        calls.append(t)
        return 10 * t

    for t in (0.0, 0.1, 0.2, 0.3, 0.3):
        assert memo.get(t, partial(compute, t)) == 10 * t
    assert calls == [0.0, 0.1, 0.2, 0.3]
    assert len(memo) == 3
    assert memo.get(0.0, partial(compute, 0.0)) == 0.0  # the oldest made room
    assert len(calls) == 5


def test_pinned_values_stay_and_replace():
    memo = Memo(kept=2)
    assert memo.get(0.5, lambda: "single") == "single"
    memo.pin({0.5: "grid", 0.6: "grid", 0.7: "grid"})
    for t in (0.1, 0.2, 0.3, 0.4):
        memo.get(t, lambda: "single")
    assert [memo.get(t, lambda: "single") for t in (0.5, 0.6, 0.7)] == ["grid"] * 3


def test_a_failed_computation_leaves_nothing():
    memo = Memo()
    with pytest.raises(ZeroDivisionError):
        memo.get(0.0, lambda: 1 / 0)
    assert memo.get(0.0, lambda: 1) == 1


def test_what_is_first_needed_in_sampling_serves_training():
    memo = Memo()
    with torch.inference_mode():
        memo.get(0.5, lambda: torch.ones(2))
    weight = torch.ones(2, requires_grad=True)
    (weight * memo.get(0.5, lambda: torch.zeros(2))).square().sum().backward()
    assert torch.equal(weight.grad, torch.tensor([2.0, 2.0]))


def test_nothing_of_a_graph_is_remembered():
    memo, weight = Memo(), torch.ones(2, requires_grad=True)
    assert not memo.get(0.5, lambda: 2 * weight).requires_grad


def test_a_copy_has_a_memo_of_its_own():
    memo = Memo()
    memo.get(0.5, lambda: 1)
    copy = deepcopy(memo)
    assert copy.get(0.5, lambda: 2) == 1
    copy.get(0.6, lambda: 3)
    assert memo.get(0.6, lambda: 4) == 4


def test_a_process_that_changes_is_sampled_as_it_is(monkeypatch):
    sde, data, times = Tuned(), create("dataset", "two-moons"), grid(1.0, 0.5, 0.1)
    first = Exact(sde, data).sample(4, DDIM(), times, SeededNoise(0, range(4))).x
    sde.__dict__["factor"] = 0.5
    second = Exact(sde, data).sample(4, DDIM(), times, SeededNoise(0, range(4))).x
    monkeypatch.setattr(Tuned, "factor", 0.5)
    fresh = Exact(Tuned(), data).sample(4, DDIM(), times, SeededNoise(0, range(4))).x
    assert not torch.allclose(first, second)
    assert torch.equal(second, fresh)
