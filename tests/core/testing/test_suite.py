"""The suite: what a target means, how components are built, and what results say."""

from dataclasses import dataclass
from functools import cache

import pytest

import sgmkit
from sgmkit.errors import BadValue, UnknownName
from sgmkit.registry.hookspecs import KINDS
from sgmkit.testing import (
    CheckFailed,
    check_target,
    checks,
    parametrize_checks,
    run_checks,
)
from sgmkit.testing.reference import ReferenceExtractor
from sgmkit.testing.result import CheckResult
from sgmkit.testing.suite import build
from sgmkit_sdes.vp import VP

NEED_FILES = ("mnist", "omniglot", "folder")
"""Data sets that cannot be built without files."""


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
