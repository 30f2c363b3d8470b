"""The loop against one that is written out, for any number of parts of a batch."""

import math

import pytest
import torch
from support.train_fixtures import log, tensors, train

from sgmkit import Batch, SeededNoise
from sgmkit.training.batches import Order

EXACT = ["--precision", "64", "--network", "line"]


def close(one, other, tolerance=1e-12):
    """Whether two checkpoints agree in every tensor."""
    one, other = tensors(one), tensors(other)
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=tolerance, atol=tolerance, msg=name)
    return True


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
    stored = tensors(run)
    for name, weight, average in zip(names, weights, mean, strict=True):
        for kind, value in (("model", weight), ("average", average)):
            tensor = stored[f"{kind}/{name}"]
            torch.testing.assert_close(tensor, value.detach(), rtol=1e-10, atol=1e-12)
    assert (lines[:, -1] > 0.05).any()  # clipping had something to do
    last = 0
    for line in log(run):
        expected = lines[last : line["step"]].mean(0)
        logged = [line["loss"], *line["parts"].values(), line["grad_norm"]]
        torch.testing.assert_close(torch.tensor(logged).double(), expected, rtol=1e-6, atol=1e-8)
        assert line["lr"] == pytest.approx(rates(12, end)[line["step"] - 1])
        last = line["step"]
    assert [*log(run)[0]["parts"]] == ["fit", "size"]


def test_parts_of_a_batch_change_nothing(tiny):
    runs = [train(*EXACT, "--set", f"train.accumulate={n}", out=f"r{n}") for n in (1, 2, 4)]
    assert close(runs[0], runs[1])
    assert close(runs[0], runs[2])
    assert log(runs[1])[-1]["loss"] == pytest.approx(log(runs[0])[-1]["loss"], rel=1e-6)


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
