"""The recipes that come with it: each is one, builds what it says, and trains where it is small."""

from pathlib import Path

import pytest

from sgmkit.cli import app as cli
from sgmkit.training.recipe import Experiment, read_recipe
from sgmkit_lsgm.annealing import coefficient

RECIPES = Path(__file__).resolve().parents[3] / "recipes"
FACTS = {"event": (1, 28, 28), "likelihood": "bernoulli", "levels": None}


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_it_resolves_and_says_how_to_run_it(path):
    experiment = Experiment.of(read_recipe(path))
    assert experiment.model.short == "lsgm"
    assert f"sgmkit train --recipe recipes/{path.name}" in path.read_text()


def test_the_full_size_is_the_published_one():
    experiment = Experiment.of(read_recipe(RECIPES / "mnist-lsgm.toml"))
    model = experiment.model.build(**FACTS)
    assert model.state_event() == (40, 8, 8)
    assert round(count(model.autoencoder) / 1e6, 1) == 3.0
    assert round(count(model.prior.network) / 1e6, 1) == 63.8
    alone = experiment.settings.steps * model.vae_share
    assert alone == pytest.approx(60e3, rel=2e-3)
    weight = coefficient(model.vae_share, *model.divergence.schedule)
    assert weight == pytest.approx(0.7, abs=1e-3)


def test_the_small_one_takes_any_process():
    recipe = read_recipe(RECIPES / "mnist-lsgm-small.toml")
    for sde, phases in (("cld", 2), ("ve", 1)):
        model = Experiment.of(recipe, sde=sde).model.build(**FACTS)
        assert model.prior.sde.phases == phases
        assert model.state_event() == (8, 7, 7)


def test_the_digits_train(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["train", "--recipe", str(RECIPES / "digits-lsgm.toml"), "--steps", "2"]
    assert cli.main([*words, "--set", "train.batch=8", "--set", "train.samples_every=0"]) == 0
    assert capsys.readouterr().out.startswith("runs/lsgm-cld-digits-")
