"""What models and metrics are called in rows."""

import torch

from sgmkit import resolve
from sgmkit.benching.labels import (
    add_versions,
    metrics_of,
    model_label,
    versions,
    without_options,
)

HIDDEN = ("sde", "dataset")


def test_a_model_is_called_by_what_is_not_its_default():
    plain = resolve("model", "exact", sde="vp:beta_max=9", data="two-moons")
    assert model_label(plain, HIDDEN) == "exact"
    changed = resolve("model", {"name": "exact", "bandwidth": 0.2}, sde="vp", data="two-moons")
    assert model_label(changed, HIDDEN) == "exact:bandwidth=0.2"


def test_a_component_inside_a_model_shows_what_differs_inside_it():
    same = resolve("model", "sgm:prediction=v", sde="vp", network="unet")
    assert model_label(same, ("sde",)) == "sgm:network=unet:prediction=v"
    deeper = resolve("model", "sgm", sde="vp", network="unet:dropout=0.1")
    assert model_label(deeper, ("sde",)) == "sgm:network=(unet:dropout=0.1)"


def test_a_metric_is_called_by_the_options_of_its_evaluator():
    names = {
        text: [metric.name for metric in metrics_of(resolve("evaluator", text))]
        for text in ("energy-distance", "nll:num=9")
    }
    assert names["energy-distance"] == ["energy-distance"]
    assert all(name.endswith("[num=9]") for name in names["nll:num=9"])


def test_hidden_options_are_left_out_of_a_label():
    solver = resolve("solver", "heun:churn=0.5:s_noise=1.1")
    assert without_options(solver, ["churn"]).label == "heun:s_noise=1.1"
    assert solver.label == "heun:churn=0.5:s_noise=1.1"


def test_versions_name_each_distribution_once():
    solver = resolve("solver", "heun")
    text = versions(solver, solver)
    assert text == f"sgmkit {solver.version}, torch {torch.__version__}"
    assert add_versions(text, solver) == text
