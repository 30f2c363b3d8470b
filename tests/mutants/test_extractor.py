"""Extractors with one defect each: the conformance suite must find every one."""

import itertools

import pytest
import torch
from support.mutants import finds

from sgmkit.testing.reference import ReferenceExtractor


class Wide(ReferenceExtractor):
    width = 3


class Double(ReferenceExtractor):
    def features(self, x):
        return x.double()


class AsGiven(ReferenceExtractor):
    def features(self, x):
        return x.clone()


class Infinite(ReferenceExtractor):
    def features(self, x):
        return x.float() / 0


class Graph(ReferenceExtractor):
    def __init__(self):
        self.weight = torch.ones((), requires_grad=True)

    def features(self, x):
        return self.weight * x.float()


class Counting(ReferenceExtractor):
    def __init__(self):
        self.calls = itertools.count()

    def features(self, x):
        return x.float() + next(self.calls)


class BatchNorm(ReferenceExtractor):
    def features(self, x):
        return x.float() - x.float().mean(0)


class Squeezing(ReferenceExtractor):
    def features(self, x):
        return x.float().squeeze(0)


class Writing(ReferenceExtractor):
    def features(self, x):
        return x.mul_(2).float()


class Blind(ReferenceExtractor):
    def features(self, x):
        return torch.ones(len(x), 2)


class Headless(ReferenceExtractor):
    def head(self, features):
        return None


class FewClasses(ReferenceExtractor):
    def head(self, features):
        return super().head(features)[:, :2]


class OtherLogits(ReferenceExtractor):
    def logits(self, x):
        return super().logits(x).softmax(1)


class NoLogits(ReferenceExtractor):
    def head(self, features):
        return super().head(features).log().sqrt()


class Refusing(ReferenceExtractor):
    def supports(self, event):
        return "not today"


class TakesAll(ReferenceExtractor):
    def supports(self, event):
        return None


class Verbose(ReferenceExtractor):
    def supports(self, event):
        return super().supports(event) and "no\nreally"


class Nameless(ReferenceExtractor):
    fingerprint = ""


class Restless(Counting):
    def features(self, x):
        next(self.calls)
        return x.float()

    @property
    def fingerprint(self):
        return str(next(self.calls))


class GlobalNoise(ReferenceExtractor):
    def features(self, x):
        return x.float() + 0 * torch.rand(())  # noqa: TID251


@pytest.mark.parametrize(
    ("mutant", "name", "message"),
    [
        (Wide, "check_form", "features are (6, 2), not (6, 3)"),
        (Double, "check_form", "features of torch.float32 are torch.float64, not torch.float32"),
        (AsGiven, "check_form", "features of torch.float64 are torch.float64, not torch.float32"),
        (Infinite, "check_form", "features are not finite"),
        (Graph, "check_form", "features carry a graph"),
        (Squeezing, "check_form", "features are (2,), not (1, 2)"),
        (Counting, "check_reproducible", "the same data has other features the second time"),
        (BatchNorm, "check_batch", "features in a smaller batch differ by"),
        (Writing, "check_input", "it writes to the data that it may only read"),
        (Blind, "check_tells_apart", "two rows of noise have equal features"),
        (Headless, "check_logits", "there are 3 classes, and no logits"),
        (FewClasses, "check_logits", "logits are (6, 2), not (6, 3)"),
        (OtherLogits, "check_logits", "logits and head differ by"),
        (NoLogits, "check_logits", "logits are not finite"),
        (Refusing, "check_events", "supports refuses its own event (2,): not today"),
        (TakesAll, "check_events", "supports takes (2, 5) as well as (2,)"),
        (Verbose, "check_events", "the reason is not one line"),
        (Nameless, "check_fingerprint", "the fingerprint is '', not a text on one line"),
        (Restless, "check_fingerprint", "the fingerprint changes with use"),
        (GlobalNoise, "check_global_rng", "it uses a global random generator"),
    ],
)
def test_extractor_mutants(mutant, name, message):
    finds("extractor", mutant(), name, message)
