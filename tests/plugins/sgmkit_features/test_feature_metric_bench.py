"""Metrics on features in a real bench: their names, rows and errors."""

import math

import pytest
from support.bench_fixtures import picked
from support.file_server import serving
from support.throwaway import hook, write_distribution

from sgmkit import registry
from sgmkit.benching.labels import metrics_of
from sgmkit.benching.plan import Evaluators
from sgmkit.cli import app as cli

DIGITS = "--data digits --sde vp --solvers euler --nfe 5 --seeds 1 --samples 60"
CLASSIFIER = "extractor=classifier"

JUDGE = '''
from dataclasses import dataclass
from sgmkit import Evaluator, Extractor, Metric, Value

class Plain(Extractor):
    """Points as they are, wherever it lies."""
    event, width, unnamed = (2,), 2, ("place",)
    fingerprint = "plain"
    def __init__(self, place: str = "here", power: int = 1):
        if place == "nowhere": raise ValueError("place is nowhere")
    def features(self, x): return x

@dataclass(frozen=True)
class Judge(Evaluator):
    """Two extractors, one of them at will."""
    one: Extractor = "plain"
    other: Extractor | None = None
    scale: float = 1.0
    metrics = (Metric("height", "lower"), Metric("depth", "lower"))
    def evaluate(self, ctx): return [Value("depth", id(self)), Value("height", 1.0)]
'''


@pytest.fixture
def plain(tmp_path, monkeypatch):
    offers = (
        '"extractor", "plain", "fp.parts:Plain", "x"',
        '"evaluator", "judge", "fp.parts:Judge", "x"',
    )
    write_distribution(tmp_path / "site", "fp", {"fp": hook(*offers), "fp.parts": JUDGE})
    monkeypatch.syspath_prepend(tmp_path / "site")
    registry.reset()
    yield
    monkeypatch.undo()
    registry.reset()


def names(text):
    return [metric.name for metric in metrics_of(registry.resolve("evaluator", text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fid", "fid[inception]"),
        ("fid:extractor=(inception:weights=/some/file.pth)", "fid[inception]"),
        ("fid:extractor=features/classifier", "fid[classifier]"),
        ("kid:extractor=classifier:size=50", "kid[classifier,size=50]"),
        ("fid:extractor=classifier:reference=train", "fid[classifier,reference=train]"),
        ("isc:extractor=(classifier:width=8)", "isc[classifier:width=8]"),
        ("fid:extractor=(classifier:data=two-moons)", "fid[classifier:data=two-moons]"),
    ],
)
def test_names_tell_the_extractor(text, expected):
    assert names(text) == [expected]


def test_names_of_each_metric():
    assert names("prc:extractor=classifier") == ["precision[classifier]", "recall[classifier]"]


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ("judge", "[plain]"),
        ("judge:one=(plain:place=there)", "[plain]"),
        ("judge:one=(plain:place=there:power=2)", "[plain:power=2]"),
        ("judge:other=plain:scale=2", "[plain,plain,scale=2]"),
    ],
)
def test_names_of_any_evaluator_tell_its_extractors(plain, text, suffix):
    assert names(text) == [f"height{suffix}", f"depth{suffix}"]


def test_an_extractor_that_is_an_instance_is_named_by_its_class(plain):
    instance = registry.create("extractor", "plain")
    resolved = registry.resolve("evaluator", "judge", one=instance)
    assert [metric.name for metric in metrics_of(resolved)] == ["height[Plain]", "depth[Plain]"]


def test_an_evaluator_is_built_once_and_rows_keep_their_names(plain, run):
    done = run("--solvers euler --nfe 2,3 --sde vp,cld --samples 4 --seeds 2 --evaluators judge")
    assert done.counts["failed"] == 0
    heights = done.frame[done.frame.metric == "height[plain]"]
    depths = done.frame[done.frame.metric == "depth[plain]"]
    assert len(heights) == len(depths) == 8
    assert set(heights.value) == {1.0}
    assert depths.value.nunique() == 1  # the id of one object


def test_what_cannot_be_built_is_reported_before_any_work(plain, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = cli.main(
        ["bench", "--solvers", "euler", "--evaluators", "judge:one=(plain:place=nowhere)"]
    )
    assert code == 2
    assert capsys.readouterr().err == "sgmkit: extractor 'plain': place is nowhere\n"
    assert not (tmp_path / "results").exists()


def test_inception_without_weights_is_reported_before_any_work(tmp_path, monkeypatch, capsys):
    with serving({}) as gone:
        pass
    monkeypatch.setattr("sgmkit_features.inception.MIRROR", gone.url.rstrip("/"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["bench", "--solvers", "euler", "--data", "digits", "--evaluators", "fid"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "sgmkit: inception needs weights-inception-2015-12-05-6726825d.pth, which cannot be "
        f"downloaded (127.0.0.1:{gone.server_port}: Connection refused): fetch "
        "https://github.com/toshas/torch-fidelity/"
    )
    assert list(tmp_path.iterdir()) == []


def test_one_metric_on_two_extractors_is_two_metrics(planned):
    plan = planned(
        "--solvers euler --nfe 2 --evaluators "
        "kid:extractor=(classifier:width=8),kid:extractor=classifier,kid:extractor=classifier"
    )
    (first, second) = Evaluators.of(plan).cell
    assert metrics_of(first)[0].name == "kid[classifier:width=8]"
    assert metrics_of(second)[0].name == "kid[classifier]"


def test_a_bench_of_digits(run):
    every = ",".join(f"{name}:{CLASSIFIER}" for name in ("fid", "kid", "prc", "isc"))
    train = f"fid:{CLASSIFIER}:reference=train"
    done = run(f"{DIGITS} --evaluators {every},{train}")
    assert (done.counts["failed"], done.counts["computed"]) == (0, 2)
    facts = {
        "fid[classifier]": ("lower", 0, "squared features"),
        "fid[classifier,reference=train]": ("lower", 0, "squared features"),
        "kid[classifier]": ("lower", 0, ""),
        "precision[classifier]": ("higher", 1, ""),
        "recall[classifier]": ("higher", 1, ""),
        "isc[classifier]": ("higher", math.inf, "classes"),
    }
    assert set(done.frame.metric) == set(facts)
    for metric, (better, ideal, unit) in facts.items():
        cell, floor = (picked(done.frame, metric=metric, scope=s) for s in ("cell", "floor"))
        for row in (cell, floor):
            assert (row.better, row.ideal, row.unit, row.n) == (better, ideal, unit, 60)
            assert (row.status, row.reason) == ("ok", "")
            assert row.ci_low <= row.value <= row.ci_high
            assert row.ci_low < row.ci_high
    for metric in ("fid[classifier]", "fid[classifier,reference=train]"):
        values = [picked(done.frame, metric=metric, scope=s).value for s in ("floor", "cell")]
        assert values[0] < values[1]  # five steps of euler make poor digits
    again = run(f"{DIGITS} --evaluators {every},{train}")
    assert again.counts["found"] == 2
    more = run(f"{DIGITS} --evaluators {train},kid:{CLASSIFIER}:size=30")
    assert more.counts["computed"] == 2
    assert "kid[classifier,size=30]" in set(more.frame.metric)


def test_other_data_has_no_features(run):
    done = run(
        f"--solvers euler --nfe 2 --sde vp --samples 8 --seeds 1 --evaluators fid:{CLASSIFIER}"
    )
    assert done.counts == {"all": 2, "computed": 0, "found": 0, "not": 2, "failed": 0}
    assert set(done.frame.reason) == {
        "the classifier of Digits takes (1, 8, 8), not (2,): "
        "extractor=(classifier:data=NAME) trains one on the data NAME"
    }
