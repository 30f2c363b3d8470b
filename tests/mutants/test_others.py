"""Data sets, evaluators, grids and models with one defect each, which the suite must find."""

from dataclasses import dataclass, replace

import pytest
import torch
from support.mutants import finds

from sgmkit import Batch, Loss, Mixture, SeededNoise, Value
from sgmkit.testing.reference import ReferenceModel
from sgmkit_datasets.digits import Digits
from sgmkit_datasets.mixtures import EightGaussians
from sgmkit_evaluators.kernel_distances import EnergyDistance
from sgmkit_solvers.grids import Uniform


class Wider(EightGaussians):
    def draw(self, split, n, noise):
        batch = super().draw(split, n, noise)
        return replace(batch, x=1.1 * batch.x)


class OneSplit(EightGaussians):
    def draw(self, split, n, noise):
        return super().draw("train", n, noise)


class OneSeed(EightGaussians):
    def draw(self, split, n, noise):
        return super().draw(split, n, SeededNoise(0, range(n)))


class GlobalData(EightGaussians):
    def draw(self, split, n, noise):
        batch = super().draw(split, n, noise)
        return replace(batch, x=torch.rand_like(batch.x))  # noqa: TID251


class HeavyWeights(EightGaussians):
    def mixture(self):
        law = super().mixture()
        return Mixture(2 * law.weights, law.means, law.variances)


class Leaking(Digits):
    def items(self, split):
        return super().items("train")

    def size(self, split):
        return 1500


class Repeating(Digits):
    def draw(self, split, n, noise):
        batch = super().draw(split, min(n, self.size(split)), noise)
        first = torch.zeros(n, dtype=torch.int64)
        return Batch(batch.x[first], None, batch.ids[first])


class Unbounded(Digits):
    def draw(self, split, n, noise):
        rows = torch.arange(n) % self.size(split)
        return super().draw(split, min(n, self.size(split)), noise.select(rows.unique()))


class Bytes(Digits):
    def draw(self, split, n, noise):
        batch = super().draw(split, n, noise)
        return replace(batch, x=batch.x.to(torch.int64))


class UnitRange(Digits):
    value_range = (0.0, 1.0)


class Misnamed(EnergyDistance):
    def evaluate(self, ctx):
        return [replace(value, metric="energy") for value in super().evaluate(ctx)]


class Upwards(EnergyDistance):
    metrics = (replace(EnergyDistance.metrics[0], better="higher"),)


class Offset(EnergyDistance):
    def evaluate(self, ctx):
        return [Value("energy-distance", value.value + 1) for value in super().evaluate(ctx)]


class OutOfItsInterval(EnergyDistance):
    def evaluate(self, ctx):
        return [replace(value, value=value.ci_high + 1) for value in super().evaluate(ctx)]


class FirstRow(EnergyDistance):
    def evaluate(self, ctx):
        first = float(ctx.samples[0].abs().sum())
        return [replace(value, value=value.value + first) for value in super().evaluate(ctx)]


class Silent(EnergyDistance):
    def evaluate(self, ctx):
        return [Value("energy-distance", float("nan"))]


class GlobalProbes(EnergyDistance):
    def evaluate(self, ctx):
        return [Value("energy-distance", float(torch.rand(())))]  # noqa: TID251


class Centring(EnergyDistance):
    def evaluate(self, ctx):
        ctx.samples -= ctx.samples.mean(0)
        return super().evaluate(ctx)


class FromOne(Uniform):
    """The horizon taken for one."""

    def times(self, sde, steps, t_min):
        return torch.linspace(1, t_min, steps + 1, dtype=torch.float64)


class Upward(Uniform):
    def times(self, sde, steps, t_min):
        return super().times(sde, steps, t_min).flip(0)


class Single(Uniform):
    def times(self, sde, steps, t_min):
        return super().times(sde, steps, t_min).float()


class OneShort(Uniform):
    def times(self, sde, steps, t_min):
        return super().times(sde, steps, t_min)[: max(steps, 2)]


@dataclass(frozen=True)
class Remembering(Uniform):
    def times(self, sde, steps, t_min):
        key = (sde, steps, t_min)
        return self.__dict__.setdefault("memo", {}).setdefault(key, super().times(*key))


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
    ("kind", "mutant", "name", "message"),
    [
        ("dataset", Wider, "check_mixture", "standard errors off the stated law"),
        ("dataset", HeavyWeights, "check_mixture", "weights of the mixture are not"),
        ("dataset", OneSplit, "check_splits", "train and test draw the same points"),
        ("dataset", OneSeed, "check_seeds", "two seeds give one draw"),
        ("dataset", GlobalData, "check_seeds", "one seed gives two draws"),
        ("dataset", GlobalData, "check_global_rng", "it uses a global random generator"),
        ("dataset", Leaking, "check_splits", "1500 items are in both train and test"),
        ("dataset", Repeating, "check_items", "draws of train repeat an item"),
        ("dataset", Unbounded, "check_items", "1501 of 1500 train items are not refused"),
        ("dataset", Bytes, "check_draw", "x is torch.int64, not floating"),
        ("dataset", UnitRange, "check_value_range", "not within the stated [0, 1]"),
        ("evaluator", Misnamed, "check_values", "values are named energy; declared: energy-dist"),
        ("evaluator", Upwards, "check_worsens", "higher is declared better"),
        ("evaluator", Offset, "check_ideal", "equal laws should be close to the ideal 0"),
        ("evaluator", OutOfItsInterval, "check_values", "is outside its interval"),
        ("evaluator", FirstRow, "check_row_order", "with rows reversed"),
        ("evaluator", Silent, "check_values", "energy-distance is NaN without a reason"),
        ("evaluator", GlobalProbes, "check_reproducible", "energy-distance is 0."),
        ("evaluator", GlobalProbes, "check_global_rng", "it uses a global random generator"),
        ("evaluator", Centring, "check_inputs", "it writes to the samples"),
        ("grid", FromOne, "check_ends", "from 1 to 0.006, not 2 to 0.006"),
        ("grid", Upward, "check_decreasing", "do not decrease"),
        ("grid", Single, "check_form", "torch.float32 on cpu, not float64 on the CPU"),
        ("grid", OneShort, "check_form", "(17,) for 17 steps"),
        ("grid", Remembering, "check_fresh", "two calls return one tensor"),
        ("model", NeverEnds, "check_t_min", "t_min = 2 is not between 0 and T = 1"),
        ("model", FlatDecoder, "check_decode", "decode gives (5, 1), not (5, 2)"),
        ("model", FlatDecoder, "check_sample", "x of samples has shape (5, 1), not (5, 2)"),
        ("model", WritingDecoder, "check_decode", "decode modifies its input"),
        ("model", CentringDecoder, "check_batch", "samples in a smaller batch differ by"),
        ("model", GlobalStart, "check_reproducible", "the same noise gives other samples"),
        ("model", GlobalStart, "check_global_rng", "it uses a global random generator"),
        ("model", ForgetfulState, "check_state_dict", "a copy that loads the state samples"),
        ("model", TwoCalls, "check_reverse", "2 calls are counted as [3, 3, 3, 3, 3]"),
        ("model", TwoCalls, "check_sample", "3 Euler steps are counted as [6, 6, 6, 6, 6] calls"),
        ("model", Unreached, "check_loss", "no gradient reaches idle"),
        ("model", Infinite, "check_loss", "the loss is not finite"),
    ],
)
def test_other_mutants(kind, mutant, name, message):
    finds(kind, mutant(), name, message)
