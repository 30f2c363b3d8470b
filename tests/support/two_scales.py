"""An autoencoder with two scales of latents whose laws are the same for all data."""

import math
from functools import partial

import torch
from support.normal_aggregates import PROCESSES
from support.processes import f64
from torch.distributions import Normal

from sgmkit import Autoencoder, Latents
from sgmkit_lsgm import normal
from sgmkit_lsgm.lsgm import Lsgm

ROWS, CUT = 400, 0.12
X, BIAS, STD = f64([0.7, -1.1]), f64([0.2, -0.1]), 0.7
COARSE = Normal(f64([0.9, -0.8]), f64([0.9, 0.85]))
FINE, UNIT = Normal(f64([1.1, -0.9]), f64([0.8, 0.75])), Normal(f64([0.0, 0.0]), 1.0)


class Scales(Autoencoder):
    """Two latents of each scale, of given laws."""

    scales = ((2, 1), (2, 1))

    def __init__(self, in_shape, out_shape, fine, gains):
        super().__init__(in_shape, out_shape)
        self.laws, self.gains = (COARSE, fine), gains
        self.like = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))

    def encode(self, x, noise):
        laws = [law.expand((len(x), 2)) for law in self.laws]
        moments = [(law.mean[..., None], law.stddev[..., None]) for law in laws]
        return tuple(Latents(mean + std * noise(mean), mean, std, (2,)) for mean, std in moments)

    def decode(self, z):
        mean = BIAS + sum(gain * part[..., 0] for gain, part in zip(self.gains, z, strict=True))
        log_std = 7 * math.atanh(math.log(STD) / 7)  # the law bounds it
        return torch.cat([mean, torch.full_like(mean, log_std)], 1)


def model_of(name="vp", fine=FINE, gains=(0.0, 0.0), prior=normal.Normal) -> Lsgm:
    def make_prior(event):
        built = prior(event, PROCESSES[name]).double()
        built.t_min = CUT
        return built

    return Lsgm(
        (2,), "continuous", None, partial(Scales, fine=fine, gains=gains), make_prior
    ).eval()
