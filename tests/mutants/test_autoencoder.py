"""Autoencoders with one defect each: every one must be scales."""

import dataclasses

import pytest
import torch
from support.mutants import finds
from torch import nn

from sgmkit import Latents
from sgmkit.testing import checks
from sgmkit.testing.codes import noise
from sgmkit.testing.reference import ReferenceAutoencoder
from sgmkit.testing.suite import build


class Changed(ReferenceAutoencoder):
    """Latents of which one scale is changed."""

    place = 0

    def encode(self, x, noise):
        scales = list(super().encode(x, noise))
        scales[self.place] = self.change(scales[self.place], x)
        return tuple(scales)

    def change(self, latents, x):
        raise NotImplementedError


class OneScale(ReferenceAutoencoder):
    def encode(self, x, noise):
        return super().encode(x, noise)[:1]


class Swapped(ReferenceAutoencoder):
    """The finest scale first."""

    def encode(self, x, noise):
        return super().encode(x, noise)[::-1]


class Flat(Changed):
    def change(self, latents, x):
        return dataclasses.replace(latents, mean=latents.mean.flatten(1))


class FlatBase(Changed):
    def change(self, latents, x):
        return dataclasses.replace(latents, base=latents.z[:1])


class Infinite(Changed):
    place = 1

    def change(self, latents, x):
        return dataclasses.replace(latents, z=latents.z / 0)


class Negative(Changed):
    def change(self, latents, x):
        return dataclasses.replace(latents, std=-latents.std)


class Miscounted(Changed):
    def change(self, latents, x):
        return dataclasses.replace(latents, groups=(2, 1))


class NoGroups(Changed):
    def change(self, latents, x):
        return dataclasses.replace(latents, groups=(2, 0))


class Single(ReferenceAutoencoder):
    def encode(self, x, noise):
        return super().encode(x.view(5, -1), noise)


class Squeezed(ReferenceAutoencoder):
    def decode(self, z):
        return super().decode(z).squeeze(0)


class Overflowing(ReferenceAutoencoder):
    def decode(self, z):
        return super().decode(z) / 0


class OneCode(ReferenceAutoencoder):
    def decode(self, z):
        return super().decode([each.view(5, -1) for each in z])


class OneChannel(ReferenceAutoencoder):
    def encode(self, x, noise):
        return super().encode(torch.cat([x[:, :1], 0 * x[:, 1:]], 1), noise)


class Prior(Changed):
    """A scale that was given up: N(0, 1) whatever the data."""

    place = 1

    def change(self, latents, x):
        white = (latents.z - latents.mean) / latents.std
        return Latents(white, 0 * latents.mean, 0 * latents.std + 1, (1,))


class Coarse(ReferenceAutoencoder):
    """The finer scale forgotten."""

    def decode(self, z):
        return super().decode([z[0], torch.zeros_like(z[1])])


class Unread(ReferenceAutoencoder):
    def decode(self, z):
        return super().decode([torch.cat([z[0][:, :1], 0 * z[0][:, 1:]], 1), z[1]])


class Grey(ReferenceAutoencoder):
    def decode(self, z):
        out = super().decode(z)
        return torch.cat([out[:, :2], 0 * out[:, 2:]], 1)


class MeansOnly(Changed):
    """The mean in place of the draw."""

    def change(self, latents, x):
        return dataclasses.replace(latents, z=latents.mean)


class Variance(Changed):
    """The variance told as the standard deviation."""

    place = 1

    def change(self, latents, x):
        return dataclasses.replace(latents, std=latents.std.square())


class Wasteful(ReferenceAutoencoder):
    def encode(self, x, noise):
        noise(x)
        return super().encode(x, noise)


class Stretching(Changed):
    """A flow that does not keep volumes."""

    place = 1

    def change(self, latents, x):
        return dataclasses.replace(latents, z=1.1 * latents.z, base=latents.z)


class Backwards(ReferenceAutoencoder):
    """The mean of the first group also looks at the draw of the last one."""

    def encode(self, x, noise):
        coarse, fine = super().encode(x, noise)
        shift = fine.z.flatten(1).sum(1).view(-1, *[1] * (x.ndim - 1)) * coarse.z
        return dataclasses.replace(coarse, mean=coarse.mean + shift, z=coarse.z + shift), fine


class Narrow(Changed):
    def change(self, latents, x):
        return dataclasses.replace(latents, z=latents.z.float())


class NarrowAnswer(ReferenceAutoencoder):
    def decode(self, z):
        return super().decode(z).float()


class Rounded(ReferenceAutoencoder):
    def encode(self, x, noise):
        return super().encode(x.float().to(x), noise)


class RoundedCode(ReferenceAutoencoder):
    def decode(self, z):
        return super().decode([each.float().to(each) for each in z])


class Centring(ReferenceAutoencoder):
    def encode(self, x, noise):
        return super().encode(x - x.mean(0), noise)


class CentringCode(ReferenceAutoencoder):
    def decode(self, z):
        return super().decode([z[0] - z[0].mean(0), z[1]])


class ByPosition(ReferenceAutoencoder):
    """Noise of positions, and not of the samples that are there."""

    def encode(self, x, noise):
        return super().encode(x, _noise(range(len(x))))


class BatchNorm(ReferenceAutoencoder):
    """Statistics of the batch in training, not declared."""

    def __init__(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]):
        super().__init__(in_shape, out_shape)
        self.norm = nn.BatchNorm2d(in_shape[0])

    def encode(self, x, noise):
        return super().encode(self.norm(x), noise)


class DecoderNorm(ReferenceAutoencoder):
    def __init__(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]):
        super().__init__(in_shape, out_shape)
        self.norm = nn.BatchNorm2d(2)

    def decode(self, z):
        return super().decode([self.norm(z[0]), z[1]])


class Declared(BatchNorm):
    averaged = False


class Dropout(ReferenceAutoencoder):
    def encode(self, x, noise):
        return super().encode(nn.functional.dropout(x, 0.5), noise)


class DropoutCode(ReferenceAutoencoder):
    def decode(self, z):
        return super().decode([nn.functional.dropout(each, 0.5) for each in z])


class Deaf(ReferenceAutoencoder):
    def encode(self, x, noise):
        return super().encode(x, _noise(range(len(x))))


class Calibrated(ReferenceAutoencoder):
    """Something learned that is kept outside the state."""

    scale = 1.0

    def load_state_dict(self, state, strict=True, assign=False):
        self.scale = 2.0
        return super().load_state_dict(state, strict, assign)


class CalibratedData(Calibrated):
    def encode(self, x, noise):
        return super().encode(self.scale * x, noise)


class CalibratedCode(Calibrated):
    def decode(self, z):
        return super().decode([self.scale * each for each in z])


class Idle(ReferenceAutoencoder):
    def __init__(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]):
        super().__init__(in_shape, out_shape)
        self.idle = nn.Linear(2, 2)


class Detached(ReferenceAutoencoder):
    """Latents without a graph."""

    def encode(self, x, noise):
        scales = super().encode(x, noise)
        parts = ("z", "mean", "std")
        return tuple(
            dataclasses.replace(each, **{name: getattr(each, name).detach() for name in parts})
            for each in scales
        )


class Scaling(ReferenceAutoencoder):
    def encode(self, x, noise):
        return super().encode(x if x.requires_grad else x.mul_(0.5), noise)


class ScalingCode(ReferenceAutoencoder):
    def decode(self, z):
        return super().decode([each if each.requires_grad else each.mul_(0.5) for each in z])


class Probing(ReferenceAutoencoder):
    def decode(self, z):
        torch.rand(())  # noqa: TID251
        return super().decode(z)


def _noise(ids):
    return noise(ids, seed=7)


@pytest.mark.parametrize(
    ("mutant", "name", "message"),
    [
        (OneScale, "check_latents", "1 Latents for 2 scales"),
        (Swapped, "check_latents", "z of scale 0 is (1, 1, 4, 4), not (1, 2, 2, 2)"),
        (Flat, "check_latents", "mean of scale 0 is (1, 8), not (1, 2, 2, 2)"),
        (FlatBase, "check_latents", "base of scale 0 is (1, 2, 2, 2), not (5, 2, 2, 2)"),
        (Infinite, "check_latents", "z of scale 1 is not finite"),
        (Negative, "check_latents", "std of scale 0 is not positive"),
        (Miscounted, "check_latents", "groups of scale 0 are (2, 1), which is no way to part 2"),
        (NoGroups, "check_latents", "groups of scale 0 are (2, 0), which is no way to part 2"),
        (Single, "check_latents", "built for (2, 8, 8), but encode refuses (1, ...): "),
        (Squeezed, "check_output", "the output is (3, 8, 8), not (1, 3, 8, 8)"),
        (Overflowing, "check_output", "the output is not finite"),
        (OneCode, "check_output", "decode refuses latents (1, ...) of its scales: "),
        (OneChannel, "check_data", "data channel 1 does not move the latents"),
        (Prior, "check_data", "the mean of latent channel 0 of scale 1 is the same for all data"),
        (Coarse, "check_code", "scale 1 of the latents does not move the output"),
        (Unread, "check_code", "latent channel 1 of scale 0 does not move the output"),
        (Grey, "check_code", "output channel 2 is the same for all latents"),
        (MeansOnly, "check_draws", "(z - mean) / std is not what was drawn: off by"),
        (Variance, "check_draws", "(z - mean) / std is not what was drawn: off by"),
        (Wasteful, "check_draws", "it draws 152 numbers for 24 latents"),
        (Wasteful, "check_density", "it draws 152 numbers for 24 latents"),
        (Stretching, "check_density", "log q is off by"),
        (Backwards, "check_density", "log q is off by"),
        (Narrow, "check_dtype", "torch.float64 becomes torch.float32"),
        (NarrowAnswer, "check_dtype", "torch.float64 becomes torch.float32"),
        (Rounded, "check_dtype", "float64 is rounded on the way to the latents"),
        (RoundedCode, "check_dtype", "float64 is rounded on the way to the output"),
        (Centring, "check_rows", "rows of the latents in a smaller batch differ by"),
        (CentringCode, "check_rows", "rows of the output in a smaller batch differ by"),
        (ByPosition, "check_rows", "rows of the latents in a smaller batch differ by"),
        (BatchNorm, "check_averaged", "set averaged = False"),
        (DecoderNorm, "check_averaged", "in training a row moves with the others, by"),
        (Dropout, "check_reproducible", "one noise gives two draws of scale 0"),
        (DropoutCode, "check_reproducible", "one code gives two outputs"),
        (Deaf, "check_reproducible", "another noise does not change latent channel 0 of scale 0"),
        (CalibratedData, "check_state_dict", "a copy that loads the state encodes otherwise"),
        (CalibratedCode, "check_state_dict", "a copy that loads the state decodes otherwise"),
        (Idle, "check_gradient", "no gradient reaches idle.weight, idle.bias"),
        (Detached, "check_gradient", "no gradient reaches groups.0.0.weight, groups.0.0.bias"),
        (Scaling, "check_inputs", "it writes to the data"),
        (ScalingCode, "check_inputs", "it writes to the latents"),
        (Dropout, "check_global_rng", "it uses a global random generator"),
        (Probing, "check_global_rng", "it uses a global random generator"),
    ],
)
def test_autoencoder_mutants(mutant, name, message):
    finds("autoencoder", build("autoencoder", mutant), name, message)


def test_batch_statistics_may_be_declared():
    names = {check.__name__ for check in checks("autoencoder", build("autoencoder", Declared))}
    assert "check_averaged" not in names
    names = {check.__name__ for check in checks("autoencoder", build("autoencoder", BatchNorm))}
    assert "check_averaged" in names
