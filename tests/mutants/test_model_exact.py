"""Models with one defect each: the conformance suite must find every one."""

import pytest
import torch
from support.mutants import finds

from sgmkit import Loss
from sgmkit.testing.reference import ReferenceModel


class NeverEnds(ReferenceModel):
    t_min = 2.0


class FlatDecoder(ReferenceModel):
    def decode(self, u, noise=None):
        return u[:, 0, :1]


class CentringDecoder(ReferenceModel):
    def decode(self, u, noise=None):
        return u[:, 0] - u[:, 0].mean(0)


class WritingDecoder(ReferenceModel):
    def decode(self, u, noise=None):
        return u[:, 0].clamp_(-1, 1)


class GlobalStart(ReferenceModel):
    def start(self, noise, how="prior", y=None):
        return torch.randn(len(noise.ids), 1, 2, dtype=torch.float64)  # noqa: TID251


class ForgetfulState(ReferenceModel):
    def state_dict(self, *args, **kwargs):
        return {}

    def load_state_dict(self, *args, **kwargs):
        self.problem.law.means.zero_()


class TwoCalls(ReferenceModel):
    def reverse(self, noise, y=None):
        rev = super().reverse(noise, y)
        once = rev._predict
        rev._predict = lambda u, t: once(u, t) if t.ndim else rev.eps(u, t.expand(len(u)))
        return rev


class Unreached(ReferenceModel):
    def __init__(self):
        super().__init__()
        self.used, self.idle = (torch.nn.Parameter(torch.zeros(())) for _ in range(2))

    def loss(self, batch, noise, progress):
        return Loss((batch.x - self.used).square().mean())


class Infinite(Unreached):
    def loss(self, batch, noise, progress):
        return Loss((self.used + self.idle) / 0)


@pytest.mark.parametrize(
    ("mutant", "name", "message"),
    [
        (NeverEnds, "check_t_min", "t_min = 2 is not between 0 and T = 1"),
        (FlatDecoder, "check_decode", "decode gives (5, 1), not (5, 2)"),
        (FlatDecoder, "check_sample", "x of samples has shape (5, 1), not (5, 2)"),
        (WritingDecoder, "check_decode", "decode modifies its input"),
        (CentringDecoder, "check_batch", "samples in a smaller batch differ by"),
        (GlobalStart, "check_reproducible", "the same noise gives other samples"),
        (GlobalStart, "check_global_rng", "it uses a global random generator"),
        (ForgetfulState, "check_state_dict", "a copy that loads the state samples"),
        (TwoCalls, "check_reverse", "2 calls are counted as [3, 3, 3, 3, 3]"),
        (TwoCalls, "check_sample", "3 Euler steps are counted as [6, 6, 6, 6, 6] calls"),
        (Unreached, "check_loss", "no gradient reaches idle"),
        (Infinite, "check_loss", "the loss is not finite"),
    ],
)
def test_model_mutants(mutant, name, message):
    finds("model", mutant(), name, message)
