"""Randomness as an argument: every function that draws takes a `Noise`.

Read `base` first (what a `Noise` is), then `seeded_noise` (noise that is a function of seed,
stream, sample id and draw number) and `counter`, which generates its numbers. `recorded` replays
draws that were recorded, `brownian` makes paths for adaptive SDE solvers, and `seeding` makes what
torch draws from its global generator (initial weights, dropout) a function of a seed.

This package is public. It imports torch, numpy, `sgmkit.errors` and `sgmkit._util`.
"""

from sgmkit.noise.base import Noise
from sgmkit.noise.brownian import BrownianPath
from sgmkit.noise.recorded import RecordedNoise
from sgmkit.noise.seeded_noise import SeededNoise
from sgmkit.noise.seeding import seeded

__all__ = [
    "BrownianPath",
    "Noise",
    "RecordedNoise",
    "SeededNoise",
    "seeded",
]
