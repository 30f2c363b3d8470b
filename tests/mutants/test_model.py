"""Trainable models with one defect each: the conformance suite must find every one."""

import copy

import pytest
import torch
from support.mutants import finds

from sgmkit import Batch, Loss, Model, Reverse, SeededNoise
from sgmkit.testing import run_checks
from sgmkit.testing.reference import ReferenceNetwork
from sgmkit.testing.suite import build
from sgmkit_sdes.vp import VP
from sgmkit_sgm.sgm import Sgm


class Sound(Sgm):
    """What the others are a defect away from."""

    def __init__(self):
        super().__init__((2,), VP(), ReferenceNetwork)


class Rows(Sound):
    def loss(self, batch, noise, progress):
        return Loss(self.match(batch, noise).error.square().flatten(1).mean(1))


class RowsAsAPart(Sound):
    def loss(self, batch, noise, progress):
        square = self.match(batch, noise).error.square().flatten(1).mean(1)
        return Loss(square.mean(), {"rows": square})


class InfinitePart(Sound):
    def loss(self, batch, noise, progress):
        loss = super().loss(batch, noise, progress)
        return Loss(loss.total, {**loss.parts, "log": torch.zeros(()).log()})


class Summed(Sound):
    def loss(self, batch, noise, progress):
        return Loss(len(batch.x) * super().loss(batch, noise, progress).total)


class Centred(Sound):
    """Rows that see each other."""

    def loss(self, batch, noise, progress):
        x = batch.x - 10 * batch.x.mean(0)  # seen with any first weights
        return super().loss(Batch(x, batch.y, batch.ids), noise, progress)


class ByPlace(Sound):
    """Rows whose loss depends on their place in the batch."""

    def loss(self, batch, noise, progress):
        x = batch.x + torch.arange(len(batch.x))[:, None]
        return super().loss(Batch(x, batch.y, batch.ids), noise, progress)


class Frozen(Sound):
    """The same noise for ever."""

    def loss(self, batch, noise, progress):
        return super().loss(batch, SeededNoise(0, noise.ids), progress)


class GlobalNoise(Sound):
    def loss(self, batch, noise, progress):
        x = batch.x + 1e-6 * torch.randn_like(batch.x)  # noqa: TID251
        return super().loss(Batch(x, batch.y, batch.ids), noise, progress)


class Uphill(Sound):
    def loss(self, batch, noise, progress):
        loss = super().loss(batch, noise, progress)
        return Loss(2 * loss.total.detach() - loss.total)


class Detached(Sound):
    """A parameter that the loss names, and does not depend on."""

    def __init__(self):
        super().__init__()
        self.idle = torch.nn.Parameter(torch.ones(3))

    def loss(self, batch, noise, progress):
        return Loss(super().loss(batch, noise, progress).total + 0 * self.idle.sum())


class HalfTrained(Sound):
    """A parameter that the optimiser is not given."""

    def parameter_groups(self):
        return [{"params": list(self.network.hidden.parameters())}]


class LabelsOnly(Sound):
    """A loss that cannot do without what most data sets do not have."""

    def loss(self, batch, noise, progress):
        return super().loss(Batch(batch.x[batch.y > 0], None, batch.ids), noise, progress)


class Forgotten(Sound):
    """What shifts its answers is not in its state."""

    def __init__(self):
        super().__init__()
        self.shift = [torch.full((), 0.5)]

    def eps(self, u, t, y=None):
        return super().eps(u, t, y) + self.shift[0]

    def __deepcopy__(self, memo):
        twin = copy.copy(self)
        twin.__dict__ = {**self.__dict__, "shift": [torch.zeros(())]}
        twin._modules = {name: copy.deepcopy(m, memo) for name, m in self._modules.items()}
        return twin


class Noisy(Sound):
    """Dropout that stays on in use."""

    def eps(self, u, t, y=None):
        return torch.nn.functional.dropout(super().eps(u, t, y), 0.5, training=True)


class OtherProcess(Sound):
    """It states another process than the one it reverses."""

    def reverse(self, noise, y=None):
        return Reverse(VP(beta_max=19.0), self.eps, noise)


class Longer(VP):
    horizon = 2.0


class OtherHorizon(Sound):
    def reverse(self, noise, y=None):
        return Reverse(Longer(), self.eps, noise)


class Untrainable(Sound):
    """It has a loss, and denies it."""

    trainable = False


class NoLoss(Sound):
    """It has no loss, and does not say so."""

    def loss(self, batch, noise, progress):
        return Model.loss(self, batch, noise, progress)


class UnstatedLaw(Sound):
    """Its decoder states a law, and the model does not say so."""

    def observe(self, u, noise):
        mean = self.decode(u)
        return mean + noise(mean)


class NoLaw(Sound):
    """It says that its decoder states a law; there is only a mean."""

    states_law = True


@pytest.mark.parametrize(
    ("mutant", "name", "message"),
    [
        (
            OtherProcess,
            "check_sde",
            "the kernel of sde differs from that of the process of reverse",
        ),
        (OtherHorizon, "check_sde", "sde has horizon = 1.0, but reverse has 2.0"),
        (Untrainable, "check_trainable", "it says it is not trainable, but has a loss"),
        (NoLoss, "check_trainable", "it says it is trainable, but its loss: NoLoss has nothing"),
        (UnstatedLaw, "check_states_law", "observe is not decode: state states_law = True"),
        (NoLaw, "check_states_law", "states_law is stated, but observe draws nothing"),
        (Rows, "check_loss", "the loss has shape (5,), not ()"),
        (RowsAsAPart, "check_loss", "rows has shape (5,), not ()"),
        (InfinitePart, "check_loss", "log is not finite"),
        (LabelsOnly, "check_loss", "noise for 5 samples cannot be drawn like"),
        (Summed, "check_loss_rows", "as the mean over its two parts"),
        (Centred, "check_loss_rows", "as the mean over its two parts"),
        (ByPlace, "check_loss_rows", "as the mean over its two parts"),
        (Frozen, "check_loss_rows", "other noise gives the same loss"),
        (GlobalNoise, "check_global_rng", "it uses a global random generator"),
        (Uphill, "check_fit", "40 steps on one batch take the loss from"),
        (Detached, "check_fit", "40 steps do not move idle"),
        (HalfTrained, "check_fit", "40 steps do not move network.leave"),
        (Forgotten, "check_state_dict", "a copy that loads the state samples otherwise"),
        (Noisy, "check_reproducible", "the same noise gives other samples"),
    ],
)
def test_model_mutants(mutant, name, message):
    with torch.random.fork_rng():
        finds("model", mutant(), name, message)


def test_what_they_are_mutants_of_is_sound():
    results = run_checks("model", Sound())
    assert [x for x in results if not x.ok] == []
    assert {x.check for x in results if x.level == "skip"} == {"check_exact_start"}


class Informed(Sound):
    """Takes what the data set states."""

    def __init__(self, event: tuple[int, ...], likelihood: str, levels: int | None):
        super().__init__()
        self.facts = event, likelihood, levels


class Choosy(Informed):
    def __init__(self, event: tuple[int, ...], likelihood: str, levels: int | None):
        super().__init__(event, likelihood, levels)
        if levels is None:
            raise ValueError("no levels")


def test_models_are_built_for_points_then_for_pictures():
    assert build("model", Informed).facts == ((2,), "continuous", None)
    assert build("model", Informed, event=(5,)).facts == ((5,), "continuous", None)
    assert build("model", Choosy).facts == ((1, 8, 8), "discretised", 17)
