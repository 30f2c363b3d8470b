"""What an evaluator and a feature extractor are. This room imports data, models and below."""

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
