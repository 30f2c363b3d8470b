"""Compiling and precision of a training."""

import pytest
import torch
from support.train_fixtures import last_bytes, log, tensors, train
from torch import nn

from sgmkit.models import Network


def test_compiling_concerns_the_networks_and_renames_nothing(tiny, monkeypatch):
    compiled = []
    monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(self))
    run = train("--compile", out="compiled")
    assert [isinstance(module, Network) for module in compiled] == [True]
    assert last_bytes(run) == last_bytes(train(out="plain"))


def test_bfloat16_keeps_its_weights_in_float32(tiny):
    half, full = train("--precision", "bf16-mixed", out="half"), train(out="full")
    assert {t.dtype for t in tensors(half).values()} == {torch.float32}
    one, other = log(half)[-1]["loss"], log(full)[-1]["loss"]
    assert one != other
    assert one == pytest.approx(other, rel=0.05)
    assert half.experiment.hash == full.experiment.hash
