"""Randomness as an argument: noise by sample id, recorded noise, Brownian paths.

Read `seeded_noise` first; `counter` makes its numbers, `recorded` replays given draws, `brownian`
serves adaptive SDE solvers, and `seeding` guards torch's own generator. This room imports torch,
numpy and nothing of sgmkit but errors.
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
