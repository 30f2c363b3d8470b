"""Stages of steps: which operators act on what, earlier answers, and draws."""

from dataclasses import dataclass

import pytest
import torch
from support.golden_solvers_data import close, numbers
from support.processes import f64

from sgmkit import RecordedNoise, Reverse, SeededNoise
from sgmkit.processes import operators_by_time
from sgmkit.solvers import Scheme, Stage, one_stage_steps
from sgmkit.solvers.stages import step_table, take_step
from sgmkit_sdes.vp import VP

GRID = f64([1.0, 0.6, 0.3])


def operator(*weights):
    (single,) = operators_by_time(f64([[list(weights)]]))
    return single


@dataclass(frozen=True)
class TwoStages(Scheme):
    """The first stage goes half way; the second one uses both answers, an earlier one and noise."""

    def steps(self, sde, grid):
        steps = []
        for number, t in enumerate(grid[:-1]):
            first = Stage(t, operator(2.0, 1.0), operator(0.5, 0.25), draws=0)
            weights = [1.0, 2.0, 3.0, *([4.0] if number else []), 5.0]
            last = Stage(t / 2, None, operator(*weights), past=min(number, 1), draws=1)
            steps.append([first, last])
        return steps


def test_a_step_is_what_its_stages_say():
    u, z = numbers(3, 1, 2), [numbers(3, 1, 2, seed=i) for i in (1, 2)]
    rev = Reverse(VP(), lambda u, t: torch.sin(u) + t, RecordedNoise(z))
    out = TwoStages().solve(rev, u, GRID)
    state, past = u, None
    for t, field in zip(GRID[:-1], z, strict=True):
        first = 2 * state + torch.sin(state) + t
        point = 0.5 * state + 0.25 * first
        second = torch.sin(point) + t / 2
        new = state + 2 * first + 3 * second + 5 * field
        state, past = new if past is None else new + 4 * past, first
    assert close(out, state, 1e-13)
    assert rev.calls.tolist() == [4] * 3


def test_a_step_alone_has_no_earlier_answers():
    u = numbers(3, 1, 2)
    rev = Reverse(VP(), lambda u, t: u, RecordedNoise([u]))
    first, second = step_table(TwoStages(), VP(), GRID)
    _, answer = take_step(rev, u, first)
    assert close(answer, 3 * u, 1e-15)
    with pytest.raises(RuntimeError):
        take_step(Reverse(VP(), lambda u, t: u, RecordedNoise([u])), u, second)


def test_the_whole_noise_is_taken_from_a_model_that_predicts_it():
    u = numbers(3, 1, 2)
    stage = Stage(f64(0.5), operator(1.0, 1.0), operator(0.0, 1.0), whole=True)
    noise = SeededNoise(0, range(3))
    without = Reverse(VP(), lambda u, t: 3 * u, noise)
    with_whole = Reverse(VP(), lambda u, t: 3 * u, noise, whole=lambda u, t: 7 * u)
    assert close(stage.answer(without, u), 4 * u, 1e-15)
    assert close(stage.answer(with_whole, u), 7 * u, 1e-15)


def test_tables_are_computed_once_for_a_process_and_a_grid():
    assert step_table(TwoStages(), VP(), GRID) is step_table(TwoStages(), VP(), GRID.clone())
    assert step_table(TwoStages(), VP(), GRID) is not step_table(TwoStages(), VP(), GRID[:2])


def test_steps_of_one_call_act_on_u_eps_and_draws():
    t, u, z = GRID[:-1], numbers(3, 1, 2), numbers(3, 1, 2, seed=1)
    matrices = [weight * torch.ones(2, 1, 1, dtype=torch.float64) for weight in (1.0, 2.0, 3.0)]
    (stage,) = one_stage_steps(t, *matrices, draws=1)[0]
    rev = Reverse(VP(), lambda u, t: u + t, RecordedNoise([z]))
    out, _ = take_step(rev, u, [stage])
    assert close(out, u + 2 * (u + t[0]) + 3 * z, 1e-14)
