"""The verbs that work on models and results, a module each. Heavy imports stand inside them."""

from sgmkit.commands.bench import bench
from sgmkit.commands.check import check
from sgmkit.commands.report import report
from sgmkit.commands.sample import sample
from sgmkit.commands.train import train

VERBS = (train, sample, bench, report, check)

__all__ = ["VERBS"]
