"""Priors whose cross entropies have one defect each: the suite must find every one."""

import re
from dataclasses import replace

import pytest
import torch
from support.mutants import finds

from sgmkit import CrossEntropy, SeededNoise
from sgmkit.testing import run_checks
from sgmkit.testing.reference import ReferenceNetwork
from sgmkit_sdes.cld import CLD
from sgmkit_sgm.sgm import Sgm


class Sound(Sgm):
    """What the others are a defect away from: LSGM with CLD's prior, before training."""

    def __init__(self):
        options = {"prediction": "residual", "weighting": "likelihood", "t_min": 0.01}
        super().__init__((2,), CLD(), ReferenceNetwork, **options)


class Changed(Sound):
    """A cross entropy with one change."""

    def cross_entropy(self, z, noise, weight, *, separate=False):
        return self.change(super().cross_entropy(z, noise, weight, separate=separate), z)

    def change(self, cost, z):
        raise NotImplementedError


class Rows(Changed):
    def change(self, cost, z):
        return replace(cost, excess=cost.excess.sum(1))


class Graph(Changed):
    def change(self, cost, z):
        return replace(cost, excess=cost.excess + 0 * z)


class Infinite(Changed):
    def change(self, cost, z):
        return replace(cost, excess=cost.excess / 0)


class Vector(Changed):
    def change(self, cost, z):
        return replace(cost, loss=cost.loss * torch.ones(3))


class PartOfRows(Changed):
    def change(self, cost, z):
        return replace(cost, parts={"rows": cost.excess.sum(1)})


class Half(Changed):
    """The half of a formula, forgotten: too good to be true."""

    def change(self, cost, z):
        return CrossEntropy(cost.excess / 2, cost.loss, cost.parts)


class ByPlace(Sound):
    def cross_entropy(self, z, noise, weight, *, separate=False):
        place = torch.arange(len(z)).to(z)[:, None]
        return super().cross_entropy(z + place, noise, weight, separate=separate)


class Centred(Sound):
    def cross_entropy(self, z, noise, weight, *, separate=False):
        return super().cross_entropy(z - z.mean(0), noise, weight, separate=separate)


class OneNoise(Sound):
    """The noise of places, not of ids."""

    def cross_entropy(self, z, noise, weight, *, separate=False):
        ours = SeededNoise(0, range(len(z)))
        return super().cross_entropy(z, ours, weight, separate=separate)


class Detached(Sound):
    def cross_entropy(self, z, noise, weight, *, separate=False):
        return super().cross_entropy(z.detach(), noise, weight, separate=separate)


class Unweighted(Sound):
    """The encoder's weight, passed over."""

    def cross_entropy(self, z, noise, weight, *, separate=False):
        return super().cross_entropy(z, noise, 1.0, separate=separate)


class Evened(Sound):
    """Weights by coordinate taken for their mean."""

    def cross_entropy(self, z, noise, weight, *, separate=False):
        even = weight if not callable(weight) else lambda excess: weight(excess).mean()
        return super().cross_entropy(z, noise, even, separate=separate)


class Leaking(Sound):
    """The encoder's loss in the prior's gradient: LSGM's joint loop, released."""

    def cross_entropy(self, z, noise, weight, *, separate=False):
        cost = super().cross_entropy(z, noise, weight, separate=separate)
        return replace(cost, loss=cost.loss * (weight if not callable(weight) else 1.0))


class Untrained(Sound):
    def cross_entropy(self, z, noise, weight, *, separate=False):
        self.requires_grad_(False)
        cost = super().cross_entropy(z, noise, weight, separate=separate)
        self.requires_grad_(True)
        own = 0 * sum(p.sum() for p in self.parameters())
        return replace(cost, loss=cost.loss + own)


@pytest.mark.parametrize(
    ("mutant", "name", "message"),
    [
        (Rows, "check_cross_entropy", "excess is (5,), not (5, 2)"),
        (Graph, "check_cross_entropy", "excess has a graph"),
        (Infinite, "check_cross_entropy", "excess is not finite"),
        (Vector, "check_cross_entropy", "the loss has shape (3,), not ()"),
        (PartOfRows, "check_cross_entropy", "rows has shape (5,), not ()"),
        (Half, "check_cost_bound", "nats a coordinate, less than the"),
        (ByPlace, "check_cost_rows", "in a smaller batch differ"),
        (Centred, "check_cost_rows", "in a smaller batch differ"),
        (OneNoise, "check_cost_rows", "in a smaller batch differ"),
        (Detached, "check_cost_slope", "the loss has slope"),
        (Unweighted, "check_cost_slope", "the loss has slope"),
        (Evened, "check_cost_slope", "the loss has slope"),
        (Leaking, "check_cost_weight", "another weight moves the gradient"),
        (Untrained, "check_cost_weight", "no gradient reaches the prior's parameters"),
    ],
)
def test_prior_mutants(mutant, name, message):
    finds("model", mutant(), name, message)


def test_what_they_are_mutants_of_is_sound():
    results = [x for x in run_checks("model", Sound()) if "cost" in x.check or "cross" in x.check]
    assert [x.level for x in results] == ["ok"] * 5
    bound = next(x for x in results if x.check == "check_cost_bound").measured
    cost, error, least = (float(word) for word in re.findall(r"[\d.]+", bound))
    assert cost == pytest.approx(least, abs=4 * error)  # a prior that begins as N(0, 1)
