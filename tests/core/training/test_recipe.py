"""From recipe, flags and edits to an experiment with nothing open; and back through a file."""

import tomllib
from dataclasses import replace

import pytest
import torch

from sgmkit.errors import UserError
from sgmkit.training.recipe import CHANGEABLE_SETTINGS, Experiment, Settings, read_recipe

SETTINGS = (
    "options: steps, batch, lr, warmup, lr_end, clip, ema, betas, eps, weight_decay, accumulate, "
    "precision, checkpoint_every, keep, log_every, samples_every"
)


def of(recipe=None, *sets, **flags):
    return Experiment.of(recipe, sets=sets, **flags)


def names(experiment):
    model = experiment.model
    parts = (model, model.innermost("sde"), model.innermost("network"), experiment.data)
    return [part.name for part in parts]


def test_what_is_left_open_is_decided():
    images, points = of(), of(data="two-moons")
    assert names(images) == ["sgm/sgm", "sdes/vp", "networks/unet", "datasets/digits"]
    assert names(points) == ["sgm/sgm", "sdes/vp", "networks/mlp", "datasets/two-moons"]
    assert images.settings == Settings()
    assert images.seed == 0
    assert images.name == f"sgm-vp-digits-{images.hash[:8]}"


def test_a_model_with_defaults_of_its_own_keeps_them(tiny):
    wrapped = of(model="wrap", data="points")
    assert names(wrapped)[:3] == ["train_parts/wrap", "sdes/vp", "networks/mlp"]
    assert wrapped.model.options["prior"].name == "sgm/sgm"


def test_flags_reach_the_innermost_model(tiny):
    experiment = of(
        {"model": {"name": "wrap", "prior": "wrap:depth=3"}},
        model="wrap:depth=2",
        sde="cld:gamma=0.1",
        network="line:width=5",
        data="points",
    )
    assert experiment.model.options["depth"] == 2
    inner = experiment.model.options["prior"]
    assert inner.options["depth"] == 3
    assert inner.options["prior"].options["sde"].label == "cld:gamma=0.1"
    assert inner.options["prior"].options["network"].label == "line:width=5"
    assert experiment.name.startswith("wrap-cld-points-")


def test_flags_beat_the_recipe_and_edits_beat_both():
    recipe = {
        "model": {"sde": {"name": "vp", "beta_max": 10}, "network": "unet"},
        "data": "digits",
        "train": {"steps": 7, "lr": 0.5},
        "seed": 3,
    }
    same = of(recipe, "train.steps=9", sde="vp:beta_min=0.2")
    assert same.model.options["sde"].label == "vp:beta_max=10:beta_min=0.2"
    assert (same.settings.steps, same.settings.lr, same.seed) == (9, 0.5, 3)
    other = of(recipe, "seed=4", sde="cld", data="two-moons", network="mlp")
    assert names(other)[1:] == ["sdes/cld", "networks/mlp", "datasets/two-moons"]
    assert other.model.options["sde"].changes == ""
    assert other.seed == 4
    assert recipe["train"] == {"steps": 7, "lr": 0.5}  # nobody's to change


def test_edits_reach_every_table():
    edits = ("model.network.width=64", "model.sde.beta_max=5", "data.std=0.3", "train.lr=1e-4")
    experiment = of(None, *edits, "train.betas=(0.5,0.9)", "train.precision=64", data="two-moons")
    assert experiment.model.options["network"].label == "mlp:width=64"
    assert experiment.model.options["sde"].label == "vp:beta_max=5"
    assert experiment.data.label == "two-moons:std=0.3"
    assert experiment.settings.lr == 1e-4
    assert experiment.settings.betas == (0.5, 0.9)
    swapped = of(None, "model.network=mlp:width=16", "model.network.depth=2", data="two-moons")
    assert swapped.model.options["network"].label == "mlp:depth=2:width=16"


def test_a_name_may_carry_options_in_a_table_too():
    recipe = {"model": {"name": "sgm:prediction=v", "weighting": "likelihood"}}
    assert of(recipe, data="two-moons").model.label.startswith("sgm:")
    options = of(recipe, data="two-moons").model.options
    assert (options["prediction"], options["weighting"]) == ("v", "likelihood")


@pytest.mark.parametrize("data", ["digits", "two-moons"])
def test_the_file_of_a_run_is_a_recipe_with_nothing_open(tmp_path, data):
    one = of(None, "train.lr=1.1e-5", "model.t_min=none", "train.ema=0", data=data, sde="cld")
    path = tmp_path / "experiment.toml"
    path.write_text(one.to_toml())
    written = read_recipe(path)
    assert {"sgmkit", "torch"} <= written["versions"].keys()
    again = of(written)
    assert again == one
    assert again.describe() == one.describe()
    assert again.hash == one.hash
    assert again.difference(one) is None
    assert tomllib.loads(again.to_toml()) == written


def test_the_hash_is_of_what_decides_the_weights(tiny):
    def trained(*sets, **flags):
        return of(None, *sets, **{"model": "tiny", "network": "line", "data": "points", **flags})

    same = [f"train.{name}={dict(precision='64').get(name, 3)}" for name in CHANGEABLE_SETTINGS]
    assert trained(*same).hash == trained(network="train_parts/line:width=8").hash
    others = [
        trained(),
        trained("seed=1"),
        trained("train.lr=0.1"),
        trained("train.batch=4"),
        trained("data.count=5"),
        trained("model.network.width=9"),
        trained(sde="subvp"),
        trained(model="wrap:prior=(tiny:network=line)"),
    ]
    assert len({other.hash for other in others}) == len(others)


@pytest.mark.parametrize(
    ("edits", "flags", "difference"),
    [
        (["train.lr=0.1"], {}, ("train.lr", 0.001, 0.1)),
        (["train.lr=0.1"], {"sde": "cld"}, ("model.sde", "sdes/vp", "sdes/cld")),
        ([], {"sde": "vp:beta_max=9"}, ("model.sde.beta_max", 20.0, 9.0)),
        (["seed=2"], {}, ("seed", 0, 2)),
        (["train.steps=2", "train.keep=9"], {}, None),
    ],
)
def test_the_first_difference_is_named(edits, flags, difference):
    one = of(data="two-moons")
    assert one.difference(of(None, *edits, data="two-moons", **flags)) == difference


@pytest.mark.parametrize(
    ("data", "values"),
    [
        ("digits", ((1, 8, 8), "discretised", 17)),
        ("digits:dequantise=true", ((1, 8, 8), "continuous", 17)),
        ("digits:binarise=true", ((1, 8, 8), "bernoulli", 17)),
        ("two-moons", ((2,), "continuous", None)),
    ],
)
def test_a_model_may_ask_what_its_data_call_for(data, values):
    class Asking:
        def build(self, **facts):
            return facts

    facts = replace(of(data=data), model=Asking()).build()
    assert facts == dict(zip(("event", "likelihood", "levels"), values, strict=True))


def test_initial_weights_depend_on_the_seed_only(tiny):
    def weights(seed):
        flags = {"model": "tiny", "network": "line", "data": "points"}
        return torch.cat(
            [p.flatten() for p in of(None, f"seed={seed}", **flags).build().parameters()]
        )

    before = torch.get_rng_state()
    first = weights(0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.nn.functional.dropout(torch.ones(3))
    assert torch.equal(weights(0), first)
    assert not torch.equal(weights(1), first)


WRONG = {
    "train.lrr=1": f"unknown option 'lrr' for train; did you mean 'lr'? ({SETTINGS})",
    "train.lr=-1": "option 'lr' of train: input should be greater than 0, not -1",
    "train.lr=nan": "option 'lr' of train: input should be less than inf, not nan",
    "train.ema=1": "option 'ema' of train: input should be less than 1, not 1",
    "train.steps=x": "option 'steps' of train: input should be a valid integer, not 'x'",
    "train.precision=16": (
        "option 'precision' of train: input should be '32', 'bf16-mixed' or '64', not 16"
    ),
    "train=3": "train is a table of settings, not '3'",
    "trian.lr=1": "no table 'trian' in a recipe; did you mean 'train'? (model, data, train, seed)",
    "seed=-1": "the seed is a whole number in [0, 2^63), not '-1'",
    "seed=1.5": "the seed is a whole number in [0, 2^63), not '1.5'",
    "lr": "--set takes key.sub=value, not 'lr'",
    "model..x=1": "--set takes key.sub=value, not 'model..x=1'",
    "model.netwrok.width=3": (
        "unknown option 'netwrok' for model 'sgm'; did you mean 'network'? (options: "
    ),
    "model.network.widht=3": (
        "unknown option 'widht' for network 'mlp'; did you mean 'width'? (options: "
    ),
    "model.network=mpl": "no network named 'mpl'; did you mean 'mlp'? (sgmkit list network shows",
    "data.stt=1": "unknown option 'stt' for dataset 'two-moons'; did you mean 'std'? (options: ",
}


@pytest.mark.parametrize("edit", WRONG)
def test_a_wrong_edit_is_one_line(edit):
    with pytest.raises(UserError) as caught:
        of(None, edit, data="two-moons")
    assert str(caught.value).startswith(WRONG[edit])
    assert "\n" not in str(caught.value)


def test_wrong_components_are_one_line(tiny):
    cases = [
        ({"model": "sgn"}, "no model named 'sgn'; did you mean 'sgm'? (sgmkit list model shows"),
        ({"model": "exact"}, "model 'exact' has nothing to train: sgmkit bench takes it as it is"),
        ({"sde": "vpp"}, "no sde named 'vpp'; did you mean"),
        ({"model": "wrap:prior=exact"}, "model 'exact' has nothing to train: sgmkit bench takes"),
    ]
    for flags, message in cases:
        with pytest.raises(UserError) as caught:
            of(None, data="points", **flags)
        assert str(caught.value).startswith(message)


def test_a_recipe_that_cannot_be_read_is_one_line(tmp_path):
    broken, table = tmp_path / "broken.toml", tmp_path / "table.toml"
    broken.write_text("[model\nname = 1")
    table.write_text("[model]\nname = 3\n")
    for path, message in (
        (tmp_path / "none.toml", "cannot read recipe '{}': No such file or directory"),
        (tmp_path, "cannot read recipe '{}': Is a directory"),
        (broken, "recipe '{}' is not TOML: Expected ']' at the end of a table declaration"),
    ):
        with pytest.raises(UserError) as caught:
            read_recipe(path)
        assert str(caught.value).startswith(message.format(path))
    with pytest.raises(UserError, match=r"^a component's name is text, not 3$"):
        of(read_recipe(table))
