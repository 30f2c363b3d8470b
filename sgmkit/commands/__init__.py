"""The verbs that work on models, results and plugins, a module each. Heavy imports inside them."""

from sgmkit.commands.bench import bench
from sgmkit.commands.check import check
from sgmkit.commands.info import info
from sgmkit.commands.new_plugin import new_plugin
from sgmkit.commands.report import report
from sgmkit.commands.sample import sample
from sgmkit.commands.train import train

VERBS = (train, sample, bench, report, check, new_plugin)

__all__ = ["VERBS", "info"]
