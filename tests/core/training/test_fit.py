"""The loop: held against a loop written out, whatever the parts and the pictures on the way."""

import errno
import importlib
import json
import math
import os
import re
from pathlib import Path

import pytest
import torch
from support.train_fixtures import TINY, Job, last_bytes, log, tensors, train
from torch import nn

from sgmkit import Batch, SeededNoise
from sgmkit.cli import app as cli
from sgmkit.models import Network
from sgmkit.training import checkpoint
from sgmkit.training.averages import Averages
from sgmkit.training.batches import Batches, Order
from sgmkit.training.run import Run

EXACT = ["--precision", "64", "--network", "line"]


def close(one, other, tolerance=1e-12):
    """Whether two checkpoints agree in every tensor."""
    one, other = tensors(one), tensors(other)
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=tolerance, atol=tolerance, msg=name)
    return True


def test_each_epoch_shows_every_item_once_in_an_order_of_its_own():
    order = Order(3, 7)
    epochs = [order(7 * e, 7).tolist() for e in range(4)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    flat = torch.tensor(epochs).flatten()
    for first, count in ((0, 7), (5, 4), (3, 20), (13, 1), (6, 8)):  # in any order of asking
        assert torch.equal(order(first, count), flat[first : first + count])
    assert not torch.equal(Order(4, 7)(0, 7), flat[:7])


def test_orders_are_fair():
    """Every item comes first equally often: 400 epochs of 5 items, chi-squared with 4 degrees."""
    first = torch.stack([Order(0, 5).epoch(e)[:1] for e in range(400)]).flatten()
    counts = torch.bincount(first, minlength=5).double()
    assert float(((counts - 80).square() / 80).sum()) < 18.5  # one in a thousand


@pytest.mark.parametrize("data", ["Points", "Law"])
@pytest.mark.parametrize(("processes", "accumulate"), [(1, 3), (2, 1), (2, 3), (3, 2)])
def test_shares_of_processes_and_parts_are_the_whole_batch(tiny, data, processes, accumulate):
    law = getattr(tiny, data)(**({} if data == "Law" else {"count": 7}))
    whole = Batches(law, 5, 12)
    for step in (0, 1, 4):
        batch, noise = whole(step, 0)
        eps, found = noise(batch.x), []
        for rank in range(processes):
            share = Batches(law, 5, 12, accumulate, rank, processes)
            found += [share(step, part) for part in range(accumulate)]
        assert torch.equal(torch.cat([b.x for b, _ in found]), batch.x)
        assert torch.equal(torch.cat([b.ids for b, _ in found]), batch.ids)
        assert torch.equal(torch.cat([n(b.x) for b, n in found]), eps)
        assert noise.ids.tolist() == list(range(12 * step, 12 * step + 12))
    assert len(eps.unique()) == eps.numel()


def test_averages_follow_their_formula():
    layer = nn.Linear(1, 1, bias=False)
    layer.extra = nn.Parameter(torch.zeros(2), requires_grad=False)
    mean = Averages({"weight": layer.weight}, 0.3)
    expected = layer.weight.item()
    for step in range(1, 8):
        with torch.no_grad():
            layer.weight += step
        mean.update(step)
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * layer.weight.item()
        assert float(mean.named()["weight"]) == pytest.approx(expected, rel=1e-6)
    assert list(mean.named()) == ["weight"]
    own = layer.weight.clone()
    with mean.in_place():
        assert torch.equal(layer.weight, mean.named()["weight"])
    assert torch.equal(layer.weight, own)


def rates(steps, end):
    """Up in a line over 5 steps, then down half a turn's cosine."""
    angles = torch.linspace(0, math.pi, steps - 5 + 1, dtype=torch.float64)[:-1]
    fall = (1 + end) / 2 + (1 - end) / 2 * angles.cos()
    return [0.01 * (step + 1) / 5 for step in range(5)] + (0.01 * fall).tolist()


def by_hand(experiment, steps, batch, clip, ema, end):
    """Adam, its rate, clipping and averages, each written out; in float64."""
    model, data = experiment.build(), experiment.dataset
    weights = [p for p in model.parameters() if p.requires_grad]
    m, v, mean = ([torch.zeros_like(p) for p in weights] for _ in range(3))
    mean = [p.detach().clone() for p in weights]
    order, lines = Order(experiment.seed, data.size("train")), []
    for step in range(steps):
        ids = torch.arange(step * batch, (step + 1) * batch)
        items = data.items("train").x[order(step * batch, batch)].double()
        noise = SeededNoise(experiment.seed, ids).stream("train")
        loss = model.loss(Batch(items, None, ids), noise, step / steps)
        gradients = torch.autograd.grad(loss.total, weights)
        norm = math.sqrt(sum(float(g.square().sum()) for g in gradients))
        lines.append([loss.total.item(), *(part.item() for part in loss.parts.values()), norm])
        rate = rates(steps, end)[step]
        with torch.no_grad():
            for i, (p, g) in enumerate(zip(weights, gradients, strict=True)):
                g = g * min(1, clip / (norm + 1e-6)) if clip else g
                m[i] = 0.9 * m[i] + 0.1 * g
                v[i] = 0.999 * v[i] + 0.001 * g * g
                hat = (m[i] / (1 - 0.9 ** (step + 1))) / (
                    (v[i] / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8
                )
                p -= rate * hat
                decay = min(ema, (2 + step) / (11 + step))
                mean[i] = decay * mean[i] + (1 - decay) * p
    return weights, mean, torch.tensor(lines, dtype=torch.float64)


@pytest.mark.parametrize(("clip", "end"), [(0.05, 1.0), (0.0, 0.2)])
def test_a_training_is_what_it_says(tiny, clip, end):
    edits = f"train.clip={clip}", "train.ema=0.3", f"train.lr_end={end}"
    run = train(*EXACT, *(word for edit in edits for word in ("--set", edit)))
    weights, mean, lines = by_hand(run.experiment, 12, 8, clip, 0.3, end)
    names = [name for name, p in run.experiment.build().named_parameters() if p.requires_grad]
    found = tensors(run)
    for name, weight, average in zip(names, weights, mean, strict=True):
        for kind, value in (("model", weight), ("average", average)):
            told = found[f"{kind}/{name}"]
            torch.testing.assert_close(told, value.detach(), rtol=1e-10, atol=1e-12)
    assert (lines[:, -1] > 0.05).any()  # clipping had something to do
    last = 0
    for line in log(run):
        expected = lines[last : line["step"]].mean(0)
        told = [line["loss"], *line["parts"].values(), line["grad_norm"]]
        torch.testing.assert_close(torch.tensor(told).double(), expected, rtol=1e-6, atol=1e-8)
        assert line["lr"] == pytest.approx(rates(12, end)[line["step"] - 1])
        last = line["step"]
    assert [*log(run)[0]["parts"]] == ["fit", "size"]


def test_parts_of_a_batch_change_nothing(tiny):
    runs = [train(*EXACT, "--set", f"train.accumulate={n}", out=f"r{n}") for n in (1, 2, 4)]
    assert close(runs[0], runs[1])
    assert close(runs[0], runs[2])
    assert log(runs[1])[-1]["loss"] == pytest.approx(log(runs[0])[-1]["loss"], rel=1e-6)


def test_a_checkpoint_says_what_it_is(tiny):
    run = train()
    facts = checkpoint.facts_of(run.latest())
    assert facts == checkpoint.Facts(12, 96, 0, run.experiment.hash)
    found = tensors(run)
    assert {name.partition("/")[0] for name in found} == {"model", "average", "optimiser"}
    assert "average/fixed" not in found
    assert found["model/network.seen"] == 96  # a buffer: kept as it is, not averaged
    assert "average/network.seen" not in found
    assert len(run.checkpoints()) == 2
    assert len(train("--set", "train.keep=5", out="more").checkpoints()) == 3


def test_pictures_disturb_nothing(tiny, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "sgmkit.training.sample_pictures.save_grid", lambda x, path, _: drawn.append((path.name, x))
    )
    plain = train(out="plain")
    seen = train("--set", "train.samples_every=5", out="seen")
    assert last_bytes(plain) == last_bytes(seen)
    assert [name for name, _ in drawn] == [f"step-{n:08d}.png" for n in (5, 10, 12)]
    from sgmkit import create, time_grid

    model = Run("seen").load()  # the averaged weights
    grid = time_grid("logsnr", model.sde, 36, model.t_min)
    noise = SeededNoise(0, range(64)).stream("samples")
    assert torch.equal(drawn[-1][1], model.sample(64, create("solver", "ddim"), grid, noise).x)


def test_a_picture_is_a_file(tiny):
    run = train("--set", "train.samples_every=12")
    (picture,) = (run.path / "samples").iterdir()
    assert picture.name == "step-00000012.png"
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_laws_without_items_train(tiny):
    run = train("--data", "law")
    assert math.isfinite(log(run)[-1]["loss"])


def test_bfloat16_keeps_its_weights_in_float32(tiny):
    half, full = train("--precision", "bf16-mixed", out="half"), train(out="full")
    assert {t.dtype for t in tensors(half).values()} == {torch.float32}
    one, other = log(half)[-1]["loss"], log(full)[-1]["loss"]
    assert one != other
    assert one == pytest.approx(other, rel=0.05)
    assert half.experiment.hash == full.experiment.hash


def test_compiling_concerns_the_networks_and_renames_nothing(tiny, monkeypatch):
    compiled = []
    monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(self))
    run = train("--compile", out="compiled")
    assert [isinstance(module, Network) for module in compiled] == [True]
    assert last_bytes(run) == last_bytes(train(out="plain"))


WRONG = {
    "part": "loss part 'size' is nan",
    "loss": "the loss is inf",
    "gradient": "the gradient is nan",
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_not_finite_stops_the_run(tiny, what, capsys):
    options = ["--model", f"tiny:spoil=0.5:what={what}"]
    run = train(*options, "--set", "train.log_every=100", code=2)
    good = "run/checkpoints/step-00000004.safetensors"
    assert capsys.readouterr().err == (
        f"sgmkit: step 7: {WRONG[what]}; the last good checkpoint is {good}; "
        "try a smaller train.lr in a new run\n"
    )
    assert [str(path) for path in run.checkpoints()] == [good]
    assert all(value.isfinite().all() for value in tensors(run).values())
    assert log(run)[-1]["step"] == 4


def test_what_is_not_finite_at_once_has_no_checkpoint(tiny, capsys):
    run = train("--model", "tiny:spoil=0", code=2)
    assert capsys.readouterr().err == (
        "sgmkit: step 1: loss part 'size' is nan; there is no checkpoint yet; "
        "try a smaller train.lr in a new run\n"
    )
    assert run.checkpoints() == []


def test_a_full_disk_leaves_what_was_there(tiny, monkeypatch, capsys):
    real, calls = os.fsync, []

    def full(handle):
        calls.append(handle)
        if len(calls) == 5:  # the description and one checkpoint took four
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(handle)

    monkeypatch.setattr("sgmkit._util.files.os.fsync", full)
    run = train(code=2)
    assert capsys.readouterr().err == (
        "sgmkit: cannot write in 'run': No space left on device; once there is room, "
        "sgmkit train --resume --out run goes on\n"
    )
    assert sorted(os.listdir("run/checkpoints")) == ["step-00000004.safetensors"]
    train("--resume")
    monkeypatch.setattr("sgmkit._util.files.os.fsync", real)
    assert last_bytes(run) == last_bytes(train(out="whole"))


def test_a_file_that_ends_early_leaves_what_was_there(tiny):
    """No room in earnest: the system refuses the second half of the first checkpoint."""
    code, err = Job([*TINY, "--out", "run"], room=2000).end()
    assert (code, err) == (
        2,
        "sgmkit: cannot write in 'run': File too large; once there is room, "
        "sgmkit train --resume --out run goes on\n",
    )
    assert os.listdir("run/checkpoints") == []


def test_the_log_counts_time(tiny):
    train("--steps", "6")
    train("--resume")
    lines = [json.loads(line) for line in Path("run/log.jsonl").read_text().splitlines()]
    seconds = [line["seconds"] for line in lines]
    assert seconds == sorted(seconds)
    assert all(line["images_per_second"] > 0 for line in lines)


def test_dropout_is_new_in_every_step_and_part(tiny, monkeypatch):
    masks = []

    def dropout(x, p, training, inplace):
        masks.append(torch.rand(5))  # noqa: TID251 - as dropout does
        return x

    monkeypatch.setattr("torch.nn.modules.dropout.F.dropout", dropout)
    train(out="one")
    first = torch.stack(masks)
    assert len(first.unique(dim=0)) == len(first) == 12 * 2
    masks.clear()
    torch.rand(3)  # noqa: TID251 - the past does not matter
    train(out="two")
    assert torch.equal(torch.stack(masks), first)
    masks.clear()
    train("--seed", "1", out="three")
    assert not torch.isin(torch.stack(masks), first).any()


def test_global_randomness_is_left_alone(tiny):
    before = torch.get_rng_state()
    train()
    assert torch.equal(torch.get_rng_state(), before)


def test_lines_on_the_way(tiny, monkeypatch, capsys):
    monkeypatch.setattr(importlib.import_module("sgmkit.cli.train"), "EVERY", 1e-9)
    assert cli.main([*TINY, "--out", "run"]) == 0
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert len(lines) == 11
    assert re.fullmatch(r"step 2 of 12: \d+:\d\d left", lines[0])  # the log has no line yet
    line = r"step 6 of 12: loss \d\.\d+, \d+ images/s, \d+:\d\d left"
    assert re.fullmatch(line, lines[4])
    assert said.out.startswith("run: 12 steps, loss 0.")
