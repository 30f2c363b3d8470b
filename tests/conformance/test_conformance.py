"""Every built-in component passes the conformance suite, and the suite says what it does.

Components are listed by the registry: a new one is covered by being offered.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import sgmkit
from sgmkit.convergence.problems import gaussian_problems
from sgmkit.convergence.reference_processes import describe, processes
from sgmkit.errors import BadValue, UnknownName
from sgmkit.registry.hookspecs import KINDS
from sgmkit.testing import (
    CheckFailed,
    check_target,
    checks,
    measured_order,
    parametrize_checks,
    run_checks,
)
from sgmkit.testing.reference import STAND_INS, ReferenceExtractor
from sgmkit.testing.result import CheckResult, Concern, NotApplicable, perform
from sgmkit.testing.suite import build
from sgmkit_sdes.vp import VP
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


@pytest.mark.parametrize("kind", STAND_INS)
def test_stand_ins_conform_themselves(kind):
    assert [x for x in run_checks(kind, STAND_INS[kind]) if not x.ok] == []


@pytest.mark.parametrize("sde", processes(), ids=describe)
def test_reference_processes_conform_themselves(sde):
    assert [x for x in run_checks("sde", sde) if not x.ok] == []


def test_churned_heun_is_second_order_in_law():
    churned = Heun(churn=0.5)
    assert measured_order(churned, gaussian_problems()[1]).value == pytest.approx(2.0, abs=0.1)


# The suite itself -------------------------------------------------------------------------


@cache
def results(kind, name):
    return {result.check: result for result in run_checks(kind, name)}


def test_checks_are_named_and_documented():
    for kind in KINDS:
        for check in checks(kind, build(kind, next(iter(sgmkit.components(kind))))):
            assert check.__name__.startswith("check_")
            assert check.__doc__


def test_a_result_says_what_was_measured():
    result = results("sde", "vp")["check_forgetting"]
    assert (result.subject, result.level, result.measured) == (
        "sde vp",
        "ok",
        "2.2e-05 nats per dimension",
    )


def test_checks_follow_facts():
    names = {check.__name__ for check in checks("solver", sgmkit.create("solver", "rk45"))}
    assert {"check_adaptive_order", "check_ends"} <= names
    assert not {"check_order", "check_grids", "check_moments"} & names


def test_an_instance_a_class_and_a_path_are_targets():
    for target in (VP(), VP, "sgmkit_sdes.vp:VP", "vp", "sdes/vp"):
        assert len(run_checks("sde", target)) == len(results("sde", "vp"))


def test_options_reach_the_component():
    (result,) = [x for x in run_checks("sde", "vp", beta_max=4.0) if x.check == "check_forgetting"]
    assert (result.subject, result.level, result.ok) == ("sde vp:beta_max=4.0", "warn", True)
    assert result.message == (
        "u_T shares 6.9e-02 nats per dimension with the data; below 0.001 is usual"
    )


def test_a_component_that_cannot_be_built_fails():
    (result,) = run_checks("sde", "ve", sigma_max=0.001)
    assert (result.check, result.ok) == ("check_builds", False)
    assert result.message == "sde 've': sigma_max = 0.001 must exceed sigma_min"


@pytest.mark.parametrize(
    ("target", "subjects"),
    [
        ("edm", {"sde edm", "grid edm"}),
        ("solvers/quadratic", {"grid solvers/quadratic"}),
        ("vp:beta_max=10", {"sde vp:beta_max=10"}),
        ("sgmkit_sdes.cld:CLD", {"sde CLD"}),
        ("exact", {"model exact/exact"}),
        ("datasets", {f"dataset datasets/{name}" for name in sgmkit.components("dataset")}),
    ],
)
def test_targets(target, subjects, monkeypatch, tmp_path):
    monkeypatch.setenv("SGMKIT_DATA", str(tmp_path))  # without any files, nor a place to get them
    monkeypatch.setattr("sgmkit_datasets.mnist.MIRRORS", ())
    monkeypatch.setattr("sgmkit_datasets.omniglot.MIRRORS", {})
    monkeypatch.setattr(
        "sgmkit.testing.suite.perform",
        lambda check, component, subject: CheckResult(subject, check.__name__, "ok"),
    )
    results = check_target(target)
    assert {result.subject for result in results} == subjects
    skipped = {x.subject.rpartition("/")[2] for x in results if x.level == "skip"}
    assert skipped == (set(NEED_FILES) if target == "datasets" else set())


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (
            "vpp",
            UnknownName,
            "no component or plugin named 'vpp'; did you mean 'vp'? (sgmkit list shows all)",
        ),
        (
            "sgmkit_sdes.vp:PV",
            UnknownName,
            "sgmkit_sdes.vp:PV: module sgmkit_sdes.vp has no class 'PV'",
        ),
        (
            "nosuch_module:VP",
            UnknownName,
            "nosuch_module:VP cannot be imported: No module named 'nosuch_module'",
        ),
        (
            "sgmkit.errors:UserError",
            BadValue,
            f"sgmkit.errors:UserError is a subclass of none of "
            f"{', '.join(path.partition(':')[2] for path in KINDS.values())}",
        ),
    ],
)
def test_unknown_targets(target, error, message):
    with pytest.raises(error) as caught:
        check_target(target)
    assert str(caught.value) == message


def test_unknown_kinds_and_excuses():
    with pytest.raises(UnknownName) as caught:
        list(checks("solvr", None))
    assert str(caught.value).startswith(
        "no checks for kind 'solvr'; did you mean 'solver'? (kinds: "
    )
    with pytest.raises(UnknownName) as caught:
        parametrize_checks("sde", "vp", xfail={"check_semigrup": "why"})
    assert str(caught.value) == (
        "xfail names 'check_semigrup', which is no check here; did you mean 'check_semigroup'?"
    )


def test_options_of_an_instance_are_refused():
    with pytest.raises(BadValue) as caught:
        parametrize_checks("sde", VP(), beta_max=3.0)
    assert str(caught.value) == "an instance of VP takes no options: it is built already"


def test_outcomes():
    def check_fine(component):
        return "fine"

    def check_concern(component):
        raise Concern("odd")

    def check_needless(component):
        raise NotApplicable("none")

    def check_broken(component):
        raise TypeError("a\nb")

    outcomes = [perform(c, None, "") for c in (check_fine, check_concern, check_needless)]
    assert [(x.level, x.message, x.measured) for x in outcomes] == [
        ("ok", "", "fine"),
        ("warn", "odd", ""),
        ("skip", "none", ""),
    ]
    broken = perform(check_broken, None, "")
    assert (broken.ok, broken.message) == (False, "raised TypeError: a")


@dataclass(frozen=True)
class NoClock(VP):
    """VP whose clock does not start at zero."""

    def clock(self, t):
        return 0.1 + super().clock(t)


def test_parametrised_checks_skip_and_fail():
    params = parametrize_checks("sde", NoClock).args[1]
    runs = {param.id: param.values[0] for param in params}
    with pytest.raises(CheckFailed) as caught:
        runs["NoClock-check_clock"]()
    assert str(caught.value) == "sde NoClock: check_clock: the clock is 0.1 at t = 0, not 0"
    singular = {p.id: p.values[0] for p in parametrize_checks("sde", "ve").args[1]}
    with pytest.raises(pytest.skip.Exception, match="P is singular"):
        singular["ve-check_precision"]()


@parametrize_checks("sde", NoClock, xfail={"check_clock": "it starts at 0.1"})
def test_declared_exceptions(check):
    check()


def test_declared_exceptions_are_strict():
    (mark,) = [
        mark
        for param in parametrize_checks("sde", "vp", xfail={"check_clock": "stale"}).args[1]
        for mark in param.marks
    ]
    assert mark.kwargs == {"reason": "stale", "strict": True}


def test_the_name_of_a_check_is_the_same_in_every_process():
    mark = parametrize_checks("evaluator", "fid", extractor=ReferenceExtractor())
    names = [param.id for param in mark.args[1]]
    assert "fid:extractor=ReferenceExtractor-check_metrics" in names
