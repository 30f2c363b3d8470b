"""Counter-based noise: which number a sample gets, views, streams, and errors."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from support.noise_draws import draws, zeros

from sgmkit.errors import BadValue
from sgmkit.noise import SeededNoise

# --- Addressing -----------------------------------------------------------------------------


@pytest.mark.parametrize("law", ["normal", "uniform"])
@pytest.mark.parametrize("event", [(2,), (1,), (3, 5, 5), (1, 2, 33)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_draw_does_not_depend_on_the_batch(law, event, dtype):
    whole = draws(SeededNoise(3, range(64)), 9, event, law, dtype)
    for size in (1, 7, 64):
        parts = [
            draws(SeededNoise(3, range(i, min(i + size, 64))), 9, event, law, dtype)
            for i in range(0, 64, size)
        ]
        assert torch.equal(torch.cat(parts, dim=1), whole)


def test_a_large_draw_is_the_same_in_pieces():
    whole = draws(SeededNoise(3, range(64)), 2, (3, 32, 32))  # filled in several pieces
    for start, end in ((0, 1), (0, 7), (40, 47), (63, 64)):
        part = draws(SeededNoise(3, range(start, end)), 2, (3, 32, 32))
        assert torch.equal(part, whole[:, start:end])


def test_numbers_belong_to_ids_and_not_to_positions():
    ids = torch.tensor([5, -1, 2**63 - 1, 0, 17])
    order = torch.tensor([3, 0, 4, 2, 1])
    a, b = draws(SeededNoise(3, ids), 5, (7,)), draws(SeededNoise(3, ids[order]), 5, (7,))
    assert torch.equal(a[:, order], b)
    assert torch.equal(SeededNoise(3, [5, -1]).ids, torch.tensor([5, -1]))


def test_blocks_change_no_number():
    likes = [zeros(4, 6), zeros(4, 6, dtype=torch.float64)]
    alone, blocked = SeededNoise(3, range(4)), draws(SeededNoise(3, range(4)), 40, (6,))
    for d in range(40):
        if d % 2:  # a change of request ends the block: every draw of this noise is made alone
            torch.testing.assert_close(alone(likes[1]).float(), blocked[d], rtol=1e-6, atol=3e-4)
        else:
            assert torch.equal(alone(likes[0]), blocked[d])


@pytest.mark.parametrize("law", ["normal", "uniform"])
@pytest.mark.parametrize("event", [(2,), (3, 40, 40)])
def test_blocks_of_many_pieces_change_no_number(law, event):
    """A block is made some draws, or some rows of a draw, at a time."""
    ids = range(100, 356)
    noise, some = SeededNoise(3, ids), SeededNoise(3, [100, 355])
    noise.expect(256)
    draw, few = (n if law == "normal" else n.uniform for n in (noise, some))
    for _ in range(300 if event == (2,) else 2):
        whole, part = draw(zeros(256, *event)), few(zeros(2, *event))
        assert torch.equal(whole[[0, 255]], part)


def test_memory_is_reused_only_when_nothing_is_on_it():
    like, ids = zeros(8, 50_000), range(8)
    copies = [SeededNoise(seed, ids)(like)[2:3, :9].clone() for seed in range(20)]
    kept = [SeededNoise(seed, ids)(like)[2:3, :9] for seed in range(20)]  # a few hold the block
    assert all(map(torch.equal, kept, copies))
    places = {SeededNoise(seed, ids)(like).data_ptr() for seed in range(20)}
    assert len(places) < 5  # each block is gone before the next comes


@pytest.mark.parametrize("announced", [1, 7, 40, 1000])
def test_announced_draws_change_no_number(announced, monkeypatch):
    """More or fewer than come; 40 of them take one block."""
    plain, noise = draws(SeededNoise(3, range(4)), 40, (6,)), SeededNoise(3, range(4))
    blocks, generate = [], SeededNoise._generate

    def counted(self, like, law, count, piece):
        blocks.append(count)
        return generate(self, like, law, count, piece)

    monkeypatch.setattr(SeededNoise, "_generate", counted)
    noise.expect(announced)
    assert torch.equal(draws(noise, 40, (6,)), plain)
    assert blocks[0] == min(announced, 256)
    if announced == 40:
        assert blocks == [40]


def test_interrupted_runs_lose_and_repeat_no_draw():
    plain = draws(SeededNoise(3, range(4)), 40, (6,))
    noise = SeededNoise(3, range(4))
    for d in range(40):
        got = noise.uniform(zeros(4, 6)) if d in (11, 12, 29) else noise(zeros(4, 6))
        assert torch.equal(got, plain[d]) is (d not in (11, 12, 29))


def test_elements_are_flat_indices_of_the_event():
    flat = SeededNoise(3, range(5))(zeros(5, 24))
    for event in ((1, 24), (2, 3, 4), (24, 1)):
        assert torch.equal(SeededNoise(3, range(5))(zeros(5, *event)).flatten(1), flat)
    for n in (1, 7, 24):
        assert torch.equal(SeededNoise(3, range(5))(zeros(5, n)), flat[:, :n])
    assert torch.equal(SeededNoise(3, range(5))(zeros(5)), flat[:, 0])


def test_dtypes_share_their_integers():
    exact = SeededNoise(3, range(64))(zeros(64, 500, dtype=torch.float64))
    for dtype, worst, usual in (
        (torch.float32, 3e-4, 1e-6),  # worst where the radius is near 0: sqrt of a rounded log
        (torch.bfloat16, 2e-2, 8e-3),
        (torch.float16, 3e-3, 1e-3),
    ):
        got = SeededNoise(3, range(64))(zeros(64, 500, dtype=dtype))
        assert got.dtype == dtype
        error = (got.double() - exact).abs()
        assert float(error.max()) < worst
        assert float(error.quantile(0.99)) < usual


def test_two_processes_equal_one():
    code = (
        "import sys, torch; from sgmkit.noise import SeededNoise\n"
        "noise = SeededNoise(3, range(5, 12)).stream('step')\n"
        "x = torch.stack([noise(torch.zeros(7, 33)) for _ in range(5)])\n"
        "sys.stdout.buffer.write(x.numpy().tobytes())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    here = draws(SeededNoise(3, range(5)).stream("step"), 5, (33,))
    there = torch.from_numpy(np.frombuffer(other, np.float32).reshape(5, 7, 33).copy())
    whole = draws(SeededNoise(3, range(12)).stream("step"), 5, (33,))
    assert torch.equal(torch.cat((here, there), 1), whole)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_no_number(threads):
    expected = SeededNoise(3, range(64))(zeros(64, 3001))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    got = SeededNoise(3, range(64))(zeros(64, 3001))
    torch.set_num_threads(before)
    assert torch.equal(got, expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_draws_the_same_numbers_up_to_rounding():
    for law in ("normal", "uniform"):
        cpu = draws(SeededNoise(3, range(64)), 9, (50,), law)
        gpu, like = SeededNoise(3, range(64)), torch.zeros(64, 50, device="cuda")
        call = gpu if law == "normal" else gpu.uniform
        got = torch.stack([call(like) for _ in range(9)])
        torch.testing.assert_close(got.cpu(), cpu, rtol=1e-5, atol=1e-5)


def test_inference_draws_can_be_used_in_training():
    noise = SeededNoise(3, range(4))
    with torch.inference_mode():
        for _ in range(5):
            noise(zeros(4, 2))  # the next draw is in a block made in inference mode
    weight = torch.ones(2, requires_grad=True)
    x = noise(torch.zeros(4, 2))
    (weight * x).sum().backward()
    assert weight.grad is not None
    assert torch.equal(weight.grad, x.sum(0))


def test_a_draw_may_be_overwritten():
    expected, noise = draws(SeededNoise(3, range(4)), 20, (2,)), SeededNoise(3, range(4))
    for d in range(20):
        x = noise(zeros(4, 2))
        assert torch.equal(x, expected[d])
        x.fill_(math.nan)


# --- Sub-batches and streams ----------------------------------------------------------------


def test_select_counts_draws_per_sample():
    table = draws(SeededNoise(3, range(6)), 40, (2,))
    noise, drawn = SeededNoise(3, range(6)), [0] * 6
    generator = np.random.default_rng(0)
    kept = noise.select(torch.tensor([4, 1]))  # a view that is used again and again
    for turn in range(60):
        mask = torch.from_numpy(generator.random(6) < 0.6)
        kind = turn % 4
        view = (noise, noise.select(mask), noise.select(mask.nonzero()[:, 0].flip(0)), kept)[kind]
        for _ in range(1 + turn % 3):
            if max(drawn) == 40:
                return
            got = view(zeros(len(view.ids), 2))
            for row, i in zip(got, view.ids.tolist(), strict=True):
                assert torch.equal(row, table[drawn[i], i])
                drawn[i] += 1
    pytest.fail("the table was not used up")


def test_select_of_a_selection_and_of_nothing():
    noise = SeededNoise(3, [10, 20, 30, 40])
    inner = noise.select(torch.tensor([3, 2, 0])).select(torch.tensor([False, True, True]))
    assert inner.ids.tolist() == [30, 10]
    expected = draws(SeededNoise(3, [30, 10]), 2, (2,))
    assert torch.equal(inner(zeros(2, 2)), expected[0])
    assert torch.equal(noise(zeros(4, 2))[2], expected[1, 0])
    assert noise.select(torch.zeros(4, dtype=torch.bool))(zeros(0, 3)).shape == (0, 3)


def test_streams_are_shared_by_name_and_by_views():
    noise = SeededNoise(3, range(4))
    table = draws(SeededNoise(3, range(4)).stream("step"), 4, (2,))
    assert torch.equal(noise.stream("step")(zeros(4, 2)), table[0])
    noise(zeros(4, 2))  # another stream does not shift it
    noise.stream("start")(zeros(4, 2))
    assert torch.equal(noise.stream("step")(zeros(4, 2)), table[1])
    part = noise.select(torch.tensor([2]))
    assert torch.equal(part.stream("step")(zeros(1, 2)), table[2, 2:3])
    got = noise.stream("step")(zeros(4, 2))
    assert torch.equal(got[2], table[3, 2])
    assert torch.equal(got[[0, 1, 3]], table[2, [0, 1, 3]])


def test_a_stream_is_its_whole_path():
    root = SeededNoise(3, range(4))
    named = [
        root,
        root.stream(""),
        root.stream("a"),
        root.stream("b"),
        root.stream("ab"),
        root.stream("a").stream("b"),
        root.stream("b").stream("a"),
        SeededNoise(4, range(4)),
        SeededNoise(4, range(4)).stream("a"),
    ]
    numbers = torch.stack([noise(zeros(4, 6)) for noise in named])
    assert len(numbers.unique()) == numbers.numel()
    again = SeededNoise(3, range(4)).stream("a").stream("b")(zeros(4, 6))
    assert torch.equal(again, numbers[5])


def test_the_global_generator_is_untouched():
    before = torch.random.get_rng_state()
    noise = SeededNoise(3, range(4))
    for _ in range(5):
        noise.stream("a").select(torch.tensor([1])).uniform(zeros(1, 3))
    assert torch.equal(torch.random.get_rng_state(), before)


# --- Errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [-1, 1 << 63, 1.0, True, "1", None])
def test_bad_seed(seed):
    with pytest.raises(BadValue) as caught:
        SeededNoise(seed, [0])
    assert str(caught.value) == f"seed must be an integer in [0, 2^63), not {seed!r}"


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([1, 2, 7, 2], "sample ids must be distinct: 2 is repeated"),
        ([[0, 1]], "sample ids must be (B,) int64, not (1, 2) torch.int64"),
        (torch.tensor(3), "sample ids must be (B,) int64, not () torch.int64"),
        ([0.5], "sample ids must be (B,) int64, not (1,) torch.float32"),
        ([True], "sample ids must be (B,) int64, not (1,) torch.bool"),
        (["a"], "sample ids must be int64 numbers, not ['a']"),
        ([1 << 64], "sample ids must be int64 numbers, not [18446744073709551616]"),
    ],
)
def test_bad_ids(ids, message):
    with pytest.raises(BadValue) as caught:
        SeededNoise(0, ids)
    assert str(caught.value) == message
