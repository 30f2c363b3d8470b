"""Autoencoders from other runs; and mistakes, which are one line and write nothing."""

from pathlib import Path

import pytest
import torch
from support.lsgm_runs import NETWORK, train, vae
from support.train_fixtures import tensors

from sgmkit import BadValue, create
from sgmkit.cli import app as cli
from sgmkit.models import Model
from sgmkit.training.fit import adopt_pretrained
from sgmkit.training.run import Run

NVAE = "nvae:channels=8:multipliers=(1,):blocks=0:groups=1:latents=2:cells=1"
pytestmark = pytest.mark.usefixtures("place")


def test_a_pretrained_autoencoder_is_taken_over():
    source = vae()
    run = train("--set", "model.pretrained=vae", "--set", "train.lr=1e-9", steps=1)
    mine, theirs = run.load(which="last").state_dict(), source.load().state_dict()
    kept = [name for name in theirs if name.startswith("autoencoder.")]
    assert kept
    for name in kept:
        assert torch.allclose(mine[name], theirs[name], atol=1e-6)
    assert torch.equal(mine["divergence.channel_kl"], theirs["divergence.channel_kl"]) is False


def test_a_frozen_autoencoder_does_not_move():
    source = vae()
    run = train("--set", "model.pretrained=vae", "--set", "model.frozen=true", steps=6)
    mine, theirs = run.load().state_dict(), source.load().state_dict()
    for name in (name for name in theirs if name.startswith("autoencoder.")):
        assert torch.equal(mine[name], theirs[name])
    start = run.experiment.build().state_dict()
    moved = [n for n in mine if n.startswith("prior.") and not torch.equal(mine[n], start[n])]
    assert moved
    assert not [n for n in tensors(run, "average/") if "autoencoder" in n]


def test_batch_norms_have_no_averages_and_stay_when_frozen():
    """Nothing is averaged then; the statistics are buffers, which no optimiser would move."""
    settings = ("train.batch=8", "train.samples_every=0", "train.warmup=2")
    words = ["train", "--steps", "3", *(w for edit in settings for w in ("--set", edit))]
    assert (
        cli.main([*words, "--model", f"lsgm:prior=normal:autoencoder=({NVAE})", "--out", "vae"])
        == 0
    )
    spec = f"lsgm:autoencoder=({NVAE}):pretrained=vae:frozen=true"
    assert cli.main([*words, "--model", spec, *NETWORK, "--out", "run"]) == 0
    assert not tensors(Run("vae"), "average/")
    mine, theirs = Run("run").load().state_dict(), Run("vae").load().state_dict()
    start = Run("vae").experiment.build().state_dict()
    statistics = [name for name in theirs if name.endswith("running_mean")]
    assert any(not torch.equal(theirs[name], start[name]) for name in statistics)
    for name in (name for name in theirs if name.startswith("autoencoder.")):
        assert torch.equal(mine[name], theirs[name])


def test_one_of_other_data_is_refused():
    vae()
    options = {"pretrained": "vae", "autoencoder": "conv:latents=2:widths=(8,)"}
    model = create(
        "model", "lsgm", event=(1, 16, 16), likelihood="discretised", levels=17, **options
    )
    with pytest.raises(BadValue, match="of data 1 x 8 x 8, where this is of 1 x 16 x 16"):
        adopt_pretrained(model)


def test_a_run_outlives_the_one_that_it_began_with():
    source = vae()
    run = train("--set", "model.pretrained=vae", steps=4)
    source.path.rename("gone")
    assert isinstance(Run(run.path).load(), Model)
    train("--resume", "--set", "model.pretrained=vae", steps=6)


def test_what_no_stage_measured_cannot_be_inactive(capsys):
    train("--set", "model.vae_share=0", out="joint", steps=2)
    capsys.readouterr()
    words = ["model.pretrained=joint", "model.drop_inactive=0.1", "model.vae_share=0"]
    train(*(word for edit in words for word in ("--set", edit)), code=2)
    assert capsys.readouterr().err == (
        "sgmkit: drop_inactive compares KL divergences measured while the autoencoder is trained "
        "alone, and pretrained 'joint' never trained it alone: set vae_share > 0\n"
    )


def test_a_run_without_an_autoencoder_has_none_to_give(capsys):
    words = ["train", "--steps", "1", *NETWORK, "--set", "train.batch=8", "--out", "plain"]
    assert cli.main([*words, "--set", "train.samples_every=0"]) == 0
    capsys.readouterr()
    train("--set", "model.pretrained=plain", code=2)
    message = "sgmkit: pretrained 'plain' has no autoencoder: name a run of the model lsgm\n"
    assert capsys.readouterr().err == message


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        (
            ["model.pretrained=vae", "model.autoencoder.latents=3"],
            "sgmkit: pretrained 'vae' has another autoencoder, conv:latents=2:widths=(8,): 'auto",
        ),
        (
            ["model.pretrained=vae", "model.autoencoder.groups=4"],
            "sgmkit: pretrained 'vae' has another autoencoder, conv:latents=2:widths=(8,): with the"
            " pretrained weights this autoencoder computes something else, so an option that"
            " changes no shape differs; give model.autoencoder the same options\n",
        ),
        (
            ["model.pretrained=vae", "model.decoder=logistic"],
            "sgmkit: pretrained 'vae' has another autoencoder, of a decoder mixture, where this is"
            " of logistic\n",
        ),
        (
            ["model.pretrained=vae", "model.frozen=true", "model.prior=normal"],
            "sgmkit: model 'lsgm': frozen=true leaves nothing to train: prior=normal has no",
        ),
        (
            ["model.prior.matching=dsm", "model.prior.sde=cld"],
            "sgmkit: matching=dsm cannot train a prior of latents: it needs u_0, which is random",
        ),
        (
            ["model.kl_start=0.5", "model.kl_portion=0.75"],
            "sgmkit: model 'lsgm': kl_start + kl_portion = 0.5 + 0.75 = 1.25 is more than 1, all",
        ),
        (["model.pretrained=nowhere"], "sgmkit: 'nowhere' is not a run directory"),
        (["model.frozen=true"], "sgmkit: model 'lsgm': frozen=true needs pretrained=RUN"),
        (
            ["model.drop_inactive=0.1", "model.vae_share=0"],
            "sgmkit: model 'lsgm': drop_inactive compares KL divergences measured while the",
        ),
        (["model.decoder=bernoulli"], "sgmkit: model 'lsgm': decoder 'bernoulli' is for"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(edits, message, capsys):
    vae()
    capsys.readouterr()
    train(*(word for edit in edits for word in ("--set", edit)), code=2)
    err = capsys.readouterr().err
    assert err.startswith(message)
    assert err.count("\n") == 1
    assert not Path("run").exists()
