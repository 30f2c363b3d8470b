"""Training: the loop, its averages, checkpoints and log, on one device or many."""

from sgmkit.train.fit import Outcome, fit
from sgmkit.train.machine import Machine
from sgmkit.train.meter import Diverged

__all__ = ["Diverged", "Machine", "Outcome", "fit"]
