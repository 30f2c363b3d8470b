"""Recorded noise: what it replays, and what it refuses."""

import pytest
import torch
from support.noise_draws import draws, zeros

from sgmkit.errors import BadValue, UserError
from sgmkit.noise import RecordedNoise
from sgmkit.noise.recorded import NoiseExhausted


def test_recorded_noise_replays_in_order():
    recording = [torch.arange(6.0).view(3, 2) + 10 * i for i in range(5)]
    noise = RecordedNoise(recording)
    assert noise.ids.tolist() == [0, 1, 2]
    assert torch.equal(noise(zeros(3, 2)), recording[0])
    assert torch.equal(noise.stream("step").uniform(zeros(3, 2)), recording[1])
    part = noise.select(torch.tensor([2, 0]))
    assert torch.equal(part(zeros(2, 2)), recording[2][[2, 0]])
    assert torch.equal(part.select(torch.tensor([True, False]))(zeros(1, 2)), recording[3][2:])
    got = noise(zeros(3, 2, dtype=torch.float64))
    assert got.dtype == torch.float64
    assert torch.equal(
        got, torch.stack([recording[3][0], recording[2][1], recording[4][2]]).double()
    )


def test_recorded_draws_are_not_written_to():
    recording = torch.ones(2, 2)
    RecordedNoise([recording])(zeros(2, 2)).zero_()
    assert torch.equal(recording, torch.ones(2, 2))


def test_recorded_noise_is_exhausted():
    noise = RecordedNoise([zeros(2, 3), zeros(2, 3)])
    draws(noise, 2, (3,))
    with pytest.raises(NoiseExhausted) as caught:
        noise(zeros(2, 3))
    assert str(caught.value) == "all 2 recorded draws are used; record more of them"
    assert isinstance(caught.value, UserError)
    assert isinstance(caught.value, IndexError)


def test_recorded_noise_of_another_shape():
    with pytest.raises(BadValue) as caught:
        RecordedNoise([zeros(2, 3)])(zeros(2, 1, 2))
    assert str(caught.value) == "recorded draw 0 has event shape (3,), not (1, 2)"


def test_a_recorded_draw_serves_any_event_of_as_many_elements():
    recording = torch.arange(6.0).view(2, 3)
    assert torch.equal(RecordedNoise([recording])(zeros(2, 1, 3)), recording[:, None])


def test_no_recorded_draws_suit_any_batch_that_draws_none():
    noise = RecordedNoise([])
    assert noise.ids.tolist() == []
    for each in (noise, noise.stream("step"), noise.select(torch.tensor([3, 1]))):
        with pytest.raises(NoiseExhausted) as caught:
            each(zeros(2, 1))
        assert str(caught.value) == "no draws were recorded; record what the solver draws"


@pytest.mark.parametrize(
    ("recording", "shapes"),
    [([zeros(2, 3), zeros(3, 3)], "[(2, 3), (3, 3)]"), ([zeros()], "[()]")],
)
def test_recorded_draws_that_do_not_fit(recording, shapes):
    with pytest.raises(BadValue) as caught:
        RecordedNoise(recording)
    assert str(caught.value) == f"recorded draws must be (B, ...) with one B, not {shapes}"
