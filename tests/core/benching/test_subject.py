"""Subjects: by name, and in memory."""

import pytest
from support.train_fixtures import train

from sgmkit import resolve
from sgmkit.benching.subject import Subject, on_shared_data
from sgmkit.errors import BadValue, UnknownName, UserError


def test_an_exact_model_is_described_by_its_parts():
    loaded = Subject.of("exact", "vp:beta_max=9", "two-moons").load()
    assert loaded.describe() == {
        "model": loaded.subject.model.describe(),
        "run": "",
        "dtype": "float64",
    }
    columns = loaded.columns(resolve("solver", "heun"))
    assert (columns["model"], columns["sde"], columns["data"]) == (
        "exact",
        "vp:beta_max=9",
        "two-moons",
    )
    assert (columns["run"], columns["device"], columns["dtype"]) == ("", "cpu", "float64")


def test_a_run_is_described_by_its_weights_and_its_data(tiny):
    run = train(out="runs/one")
    loaded = Subject.trained(run).load()
    assert loaded.content == run.content
    description = loaded.describe()
    assert description["run"] == run.content
    assert description["data"] == run.experiment.data.describe()
    assert loaded.columns()["run"] == "one@12"
    assert not any(p.requires_grad for p in loaded.model.parameters())


def test_grids_end_at_the_models_cut_off_or_at_a_time_of_their_own():
    loaded = Subject.of("exact", "vp", "two-moons").load()
    assert loaded.t_min(None) == loaded.model.t_min == 1e-3
    assert loaded.t_min(0.02) == 0.02
    for t_min in (1.0, 2.0, -0.5):
        with pytest.raises(BadValue, match=r"t_min of 'vp' must lie between 0 and 1"):
            loaded.t_min(t_min)


def test_what_is_wrong_is_seen_before_anything_is_loaded(tiny):
    Subject.of("exact", "vp", "two-moons").check(0.5)
    with pytest.raises(BadValue, match="must lie between"):
        Subject.of("exact", "vp", "two-moons").check(1.5)
    with pytest.raises(BadValue, match="sigma_max"):
        Subject.of("exact", "ve:sigma_min=60", "two-moons").check(None)
    run = train(out="runs/one")
    for path in run.checkpoints():
        path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError, match="cut short"):
        Subject.trained(run).check(None)


def test_a_model_that_takes_no_data_is_no_subject():
    with pytest.raises(UnknownName, match="unknown option 'data'"):
        Subject.of("sgm", "vp", "two-moons")


def test_equal_data_sets_are_built_once():
    subjects = [
        Subject.of("exact", sde, data)
        for data in ("8gaussians", "two-moons")
        for sde in ("vp", "cld")
    ]
    shared = on_shared_data(subjects)
    assert [s.model for s in shared] == [s.model for s in subjects]
    assert shared[0].data.built is shared[1].data.built
    assert shared[2].data.built is shared[3].data.built
    assert shared[0].data.built is not shared[2].data.built
