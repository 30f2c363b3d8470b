"""`sgmkit bench` without --evaluators: what it measures, by the subjects."""

from types import SimpleNamespace

import pytest

from sgmkit.cli.bench import _default_evaluators
from sgmkit.registry import resolve


def subject(data: str, event: tuple[int, ...], trained: bool = True) -> SimpleNamespace:
    source = "run" if trained else None
    return SimpleNamespace(source=source, event=event, data=resolve("dataset", data))


GREY, COLOUR = (1, 8, 8), (3, 32, 32)
CASES = {
    "own classifier": ([("digits", GREY), ("digits", GREY)], ["fid[classifier]", "nll"]),
    "two data sets": ([("digits", GREY), ("mnist", (1, 28, 28))], ["fid[inception]", "nll"]),
    "colour": ([("folder:root=x", COLOUR)], ["fid[inception]", "nll"]),
    "vectors": ([("eight-gaussians", (2,))], ["sliced-wasserstein", "energy-distance", "nll"]),
    "exact": (
        [("digits", GREY, False)],
        ["sliced-wasserstein", "energy-distance", "trajectory", "nll"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_measured_by_default(case):
    subjects, expected = CASES[case]
    evaluators = _default_evaluators([subject(*words) for words in subjects])
    names = []
    for evaluator in evaluators:
        description = evaluator.describe()
        extractor = description.get("extractor", {}).get("name", "").partition("/")[2]
        suffix = f"[{extractor}]" if extractor else ""
        names.append(description["name"].partition("/")[2] + suffix)
    assert names == expected
    if case == "own classifier":
        assert evaluators[0].describe()["extractor"]["data"]["name"] == "datasets/digits"
