"""The Frechet inception distance, on features of any extractor."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from sgmkit import Context, Metric, Value
from sgmkit_features.features import Bank, Images, PairMetric
from sgmkit_features.frechet import frechet


@dataclass(frozen=True)
class Fid(PairMetric):
    """Frechet distance of two Gaussians, fitted to the features of samples and of data.

    Heusel et al. 2017; with Inception features and ``reference=train`` this is the published FID,
    to the interpolation and rounding of images, which are torch-fidelity's. It is biased upwards,
    by about (d / n) times a variance of the features: compare values at one n, and with the floor
    row, never with zero. The interval is about what is expected at this n: it covered that in
    94 to 99.5 % of repeats, with 16 to 64 features of 40 to 2,000 samples.
    """

    metrics = (Metric("fid", "lower", unit="squared features"),)

    def measure(self, bank: Bank, x: Images, y: Images, ctx: Context) -> Iterable[Value]:
        """One row."""
        value, variance = frechet(bank.statistics(x), bank.statistics(y))
        half = 1.96 * math.sqrt(variance)
        yield Value("fid", value, value - half, value + half, x.count)
