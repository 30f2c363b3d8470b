"""What an evaluator and a feature extractor are.

Read `evaluator` first: `Evaluator` is the base class of the kind "evaluator", `Context` what it may
look at, `Value` what it answers. `extractor` has the base class of the kind "extractor", on whose
features some evaluators are built. This room imports data, models and below.
"""

from sgmkit.evaluation.evaluator import Cell, Context, Evaluator, Metric, Value, not_finite
from sgmkit.evaluation.extractor import Extractor

__all__ = [
    "Cell",
    "Context",
    "Evaluator",
    "Extractor",
    "Metric",
    "Value",
    "not_finite",
]
