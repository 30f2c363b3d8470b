"""Every built-in component passes the conformance suite, and the suite says what it does.

Components are listed by the registry: a new one is covered by being offered.
"""

from pathlib import Path

import pytest

import sgmkit
from sgmkit.convergence.problems import gaussian_problems
from sgmkit.convergence.reference_processes import describe, processes
from sgmkit.registry.hookspecs import KINDS
from sgmkit.testing import (
    measured_order,
    parametrize_checks,
    run_checks,
)
from sgmkit_solvers.heun import Heun

DATASET_TESTS = Path(__file__).parents[1] / "plugins" / "sgmkit_datasets"
NEED_FILES = {
    "mnist": "test_mnist",
    "omniglot": "test_omniglot",
    "folder": "test_folder",
}
"""Data sets that cannot be built from nothing, and the tests that hold them to the suite."""
ON_FEATURES = ("fid", "kid", "prc", "isc")
"""Evaluators whose default extractor needs a download: see test_features, with a stand-in."""

# Every built-in ---------------------------------------------------------------------------


@parametrize_checks("sde", *sgmkit.components("sde"))
def test_sde(check):
    check()


@parametrize_checks("solver", *sgmkit.components("solver"))
def test_solver(check):
    check()


@parametrize_checks("solver", "ssem", kick="midpoint")
def test_solver_ssem_second_order(check):
    check()


@parametrize_checks("network", *sgmkit.components("network"))
def test_network(check):
    check()


@parametrize_checks(
    "network", "unet", in_shape=(2, 7, 9), out_shape=(1, 7, 9), attention=(4,), classes=3
)
def test_network_of_odd_sizes_and_labels(check):
    check()


@parametrize_checks(
    "network",
    "ncsnpp:channels=8:multipliers=(1,2,2):fir=true",
    in_shape=(2, 7, 9),
    out_shape=(1, 7, 9),
    attention=(4,),
    classes=3,
    dropout=0.1,
)
def test_network_of_odd_sizes_and_filters(check):
    check()


@parametrize_checks("network", "mlp", classes=3, dropout=0.1)
def test_network_of_vectors_and_labels(check):
    check()


@parametrize_checks("autoencoder", *sgmkit.components("autoencoder"))
def test_autoencoder(check):
    check()


@parametrize_checks("autoencoder", "conv", in_shape=(1, 7, 9), out_shape=(2, 7, 9))
def test_autoencoder_of_odd_sizes(check):
    check()


@parametrize_checks(
    "autoencoder",
    "nvae:channels=8:multipliers=(1,2,2):blocks=1:latent_scales=2:latents=2:flows=1",
    in_shape=(1, 7, 9),
    out_shape=(3, 7, 9),
    architecture="bnswish",
    decoder_channels=12,
    input_skip=True,
    squeeze=False,
)
def test_autoencoder_of_scales_and_flows(check):
    check()


@parametrize_checks("grid", *sgmkit.components("grid"))
def test_grid(check):
    check()


@parametrize_checks("dataset", *(x for x in sgmkit.components("dataset") if x not in NEED_FILES))
def test_dataset(check):
    check()


@parametrize_checks(
    "evaluator", *(x for x in sgmkit.components("evaluator") if x not in ON_FEATURES)
)
def test_evaluator(check):
    check()


@parametrize_checks("extractor", *(x for x in sgmkit.components("extractor") if x != "inception"))
def test_extractor(check):
    check()


@parametrize_checks("model", *sgmkit.components("model"))
def test_model(check):
    check()


@parametrize_checks("model", "exact", sde="cld", data="digits", dtype="float32")
def test_model_of_images_with_two_phases(check):
    check()


def test_every_kind_is_covered():
    covered = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert set(KINDS) <= covered


@pytest.mark.parametrize("name", NEED_FILES)
def test_data_sets_that_need_files_are_held_to_the_suite_elsewhere(name):
    path = DATASET_TESTS / f"{NEED_FILES[name]}.py"
    assert f'run_checks("dataset", "{name}", root=' in path.read_text()


@pytest.mark.parametrize("sde", processes(), ids=describe)
def test_reference_processes_conform_themselves(sde):
    assert [x for x in run_checks("sde", sde) if not x.ok] == []


def test_churned_heun_is_second_order_in_law():
    churned = Heun(churn=0.5)
    assert measured_order(churned, gaussian_problems()[1]).value == pytest.approx(2.0, abs=0.1)
