"""Latent models from the command line to the table: stages, runs, robustness."""

import json

import numpy as np
import pytest
import torch
from support.lsgm_losses import model_of
from support.lsgm_runs import NETWORK, SMALL, train
from support.train_fixtures import last_bytes, log, tensors

from sgmkit import SeededNoise, create, load_results, time_grid
from sgmkit.cli import app as cli
from sgmkit.training.recipe import Settings
from sgmkit.training.run import Run
from sgmkit.training.state import State
from sgmkit_lsgm.lsgm import Lsgm

pytestmark = pytest.mark.usefixtures("place")


@pytest.mark.parametrize("sde", ["vp", "subvp", "geometric", "ve", "cld", "psld"])
def test_one_command_trains_both_stages(sde):
    run = train("--sde", sde, "--set", "model.vae_share=0.5", steps=4)
    first, last = log(run)
    assert first["step"] == 2
    assert first["parts"]["prior"] == 0
    assert last["parts"]["prior"] > 0
    assert all(np.isfinite(list(line["parts"].values())).all() for line in (first, last))
    model = run.load()
    assert model.prior.sde.phases == {"cld": 2, "psld": 2}.get(sde, 1)


def test_the_prior_is_left_alone_in_the_first_stage():
    run = train("--set", "model.vae_share=1.0", steps=4)
    start = run.experiment.build().state_dict()
    end = run.load(which="last").state_dict()
    moved = {name.partition(".")[0] for name in end if not torch.equal(start[name], end[name])}
    assert moved == {"autoencoder", "divergence"}


@pytest.mark.parametrize("data", ["digits", "digits:binarise=true", "digits:dequantise=true"])
def test_samples_and_likelihoods_of_every_kind_of_data(data):
    run = train("--sde", "cld", "--data", data, steps=2)
    judges = "nll:num=4,bounds:num=4:draws=2:steps=3,nfe,decoder-calls"
    words = ["bench", "run", "--solvers", "ddim", "--nfe", "3", "--samples", "4", "--seeds", "1"]
    assert cli.main([*words, "--evaluators", judges]) == 0
    rows = load_results("results")
    by_metric = {row.metric.partition("[")[0]: row for row in rows.itertuples()}
    assert by_metric["nll-ode"].status == "n/a"
    width = 2 / 16 if "dequantise" in data else 1
    for name in ("nelbo-ode", "iw-ode", "nelbo-diffusion", "nelbo-chain"):
        bits = by_metric[name].value / 64 / np.log(2) - np.log2(width)
        in_bits = by_metric[name.removesuffix("-ode") + "-bpd"]
        assert in_bits.value == pytest.approx(bits, rel=1e-6), name
    assert by_metric["decoder-calls"].value == 1
    assert by_metric["nfe"].value == 3
    assert run.load().discrete == ("dequantise" not in data)


def test_estimates_behind_a_flow_have_rows_of_their_own():
    """Their density at the cut-off is not known: no bound, and not among bounds."""
    nvae = "nvae:channels=8:groups=1:latents=2:cells=1:blocks=0:multipliers=(1,):flows=1"
    edits = [word for edit in SMALL[2:] for word in ("--set", edit)]
    words = ["train", "--model", f"lsgm:autoencoder=({nvae})", *NETWORK, *edits]
    assert cli.main([*words, "--steps", "2", "--out", "run"]) == 0
    words = ["bench", "run", "--solvers", "ddim", "--nfe", "3", "--samples", "4", "--seeds", "1"]
    judges = "nll:num=4:tol=1e-2,bounds:num=4:draws=2:steps=3"
    assert cli.main([*words, "--evaluators", judges]) == 0
    by_metric = {row.metric.partition("[")[0]: row for row in load_results("results").itertuples()}
    assert np.isfinite(by_metric["nelbo-ode-z0"].value)
    assert by_metric["nelbo-ode"].reason == "the model's likelihood is of kind nelbo-ode-z0"
    assert by_metric["nelbo-chain"].reason == "the model's is of kind nelbo-chain-z0"
    assert "no normalising flows" in by_metric["iw-ode"].reason
    assert by_metric["iw-bpd"].reason == by_metric["iw-ode"].reason


def test_means_by_default_and_draws_on_request():
    run = train("--data", "digits:binarise=true", steps=2)
    files = {}
    for images in ("mean", "sample"):
        words = ["sample", "run", "--steps", "3", "--num", "5", "--out", f"{images}.npz"]
        assert cli.main([*words, "--images", images]) == 0
        files[images] = np.load(f"{images}.npz")
        assert json.loads(str(files[images]["about"]))["images"] == images
    assert set(np.unique(files["sample"]["x"])) == {-1.0, 1.0}
    assert np.abs(files["mean"]["x"]).max() < 1
    model = run.load()
    grid = time_grid("logsnr", model.prior.sde, 3, model.t_min)
    again = model.sample(5, create("solver", "heun"), grid, SeededNoise(0, range(5)))
    assert np.allclose(again.x.numpy(), files["mean"]["x"], atol=1e-5)
    assert again.decoder_calls == 1


def test_draws_are_other_cells_than_means():
    train("--data", "digits:binarise=true", steps=2)
    words = ["bench", "run", "--solvers", "ddim", "--nfe", "3", "--samples", "4", "--seeds", "1"]
    for images in ("mean", "sample", "mean"):
        assert cli.main([*words, "--evaluators", "nfe", "--images", images]) == 0
    rows = load_results("results")
    assert sorted(rows.images) == ["mean", "sample"]


def test_resumed_it_ends_in_the_same_bits():
    """Over the change of stages, with inactive channels, regularisers and batch norms."""
    words = ["--sde", "cld", "--set", "model.vae_share=0.5", "--set", "model.regularise=0.01"]
    words += ["--set", "model.regularise_prior=0.01", "--set", "model.drop_inactive=0.1"]
    words += [
        "--set",
        "model.autoencoder=nvae:channels=8:groups=1:latents=2:cells=1:blocks=0:multipliers=(1,)",
    ]
    edits = [word for edit in SMALL[2:] for word in ("--set", edit)]
    command = ["train", "--model", "lsgm", *NETWORK, *edits, *words]
    assert cli.main([*command, "--steps", "8", "--out", "whole"]) == 0
    # Eight steps asked for, and killed after four: progress is a share of all of them.
    assert cli.main([*command, "--steps", "8", "--out", "run"]) == 0
    run = Run("run")
    run.checkpoints()[-1].unlink()
    lines = (run.path / "log.jsonl").read_text().splitlines()
    (run.path / "log.jsonl").write_text("\n".join(lines[:2]) + "\n")
    assert run.checkpoints()[-1].stem == "step-00000004"
    assert cli.main([*command, "--steps", "8", "--out", "run", "--resume"]) == 0
    assert last_bytes(Run("run")) == last_bytes(Run("whole"))
    assert log(Run("run")) == log(Run("whole"))
    assert not {f"model/{name}" for name in Lsgm.retired} & tensors(Run("run")).keys()


def test_more_steps_go_on_in_the_stage_that_was_reached():
    train("--sde", "cld", "--set", "model.vae_share=0.5")
    train("--sde", "cld", "--set", "model.vae_share=0.5", "--resume", steps=20)
    prior_trained = [line["parts"]["prior"] > 0 for line in log(Run("run"))]
    assert (
        prior_trained == [False] * 2 + [True] * 8
    )  # of twenty steps the first half would be the first ten


def test_more_steps_lengthen_the_stage_that_is_not_over():
    train("--set", "model.vae_share=1.0", steps=4)
    train("--set", "model.vae_share=1.0", "--resume", steps=8)
    assert [line["parts"]["prior"] for line in log(Run("run"))] == [0.0] * 4


def test_not_a_number_in_the_first_steps_is_named(capsys):
    train("--set", "train.lr=1e6", "--set", "train.clip=0", steps=30, code=2)
    err = capsys.readouterr().err.splitlines()[-1]
    assert "loss part 'recon' is" in err or "loss part 'kl' is" in err
    assert "is nan" in err or "is inf" in err
    assert "try a smaller train.lr" in err


def test_the_autoencoder_has_a_rate_of_its_own():
    model = create(
        "model", "lsgm", event=(1, 8, 8), likelihood="bernoulli", levels=None, vae_lr=0.3
    )
    prior, own = model.parameter_groups()
    assert own["scale"] == 0.3
    assert "scale" not in prior
    ids = {id(p) for group in (prior, own) for p in group["params"]}
    assert ids == {id(p) for p in model.parameters()}


def test_a_step_moves_the_autoencoder_at_its_rate():
    """Adam's first step is as long as the rate, whatever the gradient."""
    model = model_of("vp")
    model.vae_lr = 0.3
    state = State(model, Settings(lr=0.01, warmup=4))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.full_like(p, 2.0)
    state.begin_step()
    state.optimiser.step()
    for name, p in model.named_parameters():
        step = 0.01 / 4 * (0.3 if name.startswith("autoencoder.") else 1.0)
        assert torch.allclose(before[name] - p, torch.full_like(p, step), rtol=1e-6), name


def test_averages_leave_out_batch_norms_and_what_is_fixed():
    facts = {"event": (1, 8, 8), "likelihood": "bernoulli", "levels": None}
    nvae = "nvae:channels=8:groups=1:latents=2:cells=1:blocks=0:multipliers=(1,)"
    names = set(create("model", "lsgm", autoencoder=nvae, **facts).averaged_parameters())
    assert names
    assert not [name for name in names if not name.startswith("prior.")]
    model = create("model", "lsgm", **facts)
    assert len(model.averaged_parameters()) == len(list(model.parameters()))
    model.autoencoder.requires_grad_(False)
    assert not [n for n in model.averaged_parameters() if not n.startswith("prior.")]
