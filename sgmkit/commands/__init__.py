"""The verbs that work on models and results, a module each. Heavy imports stand inside them."""

from sgmkit.commands.bench import bench
from sgmkit.commands.check import check
from sgmkit.commands.report import report

VERBS = (bench, report, check)

__all__ = ["VERBS"]
