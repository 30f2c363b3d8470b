"""Trainings of latent models that take a moment, from the command line."""

from pathlib import Path

import pytest

from sgmkit.cli import app as cli
from sgmkit.training.run import Run

SMALL = (
    *("model.autoencoder.widths=(8,)", "model.autoencoder.latents=2", "train.batch=8"),
    *("train.warmup=2", "train.log_every=2", "train.checkpoint_every=4", "train.samples_every=0"),
)
NETWORK = ("--network", "unet:channels=8:multipliers=(1,2)")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty working directory, and no colours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")


def train(*args, out="run", model="lsgm", steps=8, network=NETWORK, code=0):
    edits = [word for edit in SMALL for word in ("--set", edit)]
    words = ("train", "--model", model, *network, "--steps", str(steps), *edits, "--out", out)
    assert cli.main([*words, *args]) == code
    return Run(out) if Path(out, "experiment.toml").exists() else None


def vae(out="vae", *args):
    """The autoencoder alone, under N(0, I)."""
    return train(*args, model="lsgm:prior=normal", network=(), out=out)
