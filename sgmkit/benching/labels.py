"""What components are called in rows: models, metrics, versions."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from sgmkit.errors import BadValue
from sgmkit.evaluation import Metric
from sgmkit.registry import Resolved
from sgmkit.registry.options import spell


def model_label(model: Resolved, without: Collection[str]) -> str:
    """Short text for a table: ``lsgm:prior=(weighting=reweighted)``.

    Only options that are not at their default are shown; of a component inside the model that is
    the default one, only what differs inside it.

    Args:
        model: the model.
        without: kinds of components that are left out.
    """
    return ":".join(filter(None, (model.short, _differences(model, model.defaults, without))))


def _differences(component: Resolved, usual: Mapping[str, Any], without: Collection[str]) -> str:
    """``name=value`` for every option whose value is not the usual one."""
    texts: list[str] = []
    for name, value in sorted(component.options.items()):
        default = usual.get(name)
        if not isinstance(value, Resolved):
            texts += [f"{name}={spell(value)}"] if value != default else []
        elif value.kind not in without:
            if isinstance(default, Resolved) and default.name == value.name:
                inner = _differences(value, default.options, without)
                texts += [f"{name}=({inner})"] if inner else []
            else:
                texts.append(f"{name}={spell(model_label(value, without))}")
    return ":".join(texts)


def metrics_of(evaluator: Resolved) -> list[Metric]:
    """The metrics of an evaluator under the names that rows have: ``fid[classifier,n=500]``.

    In brackets stand its extractor, always, and its other options that are not at their default.

    Raises:
        BadValue: where the evaluator's class declares no metrics.
    """
    declared = evaluator.schema.cls.metrics
    well_formed = isinstance(declared, tuple) and all(isinstance(m, Metric) for m in declared)
    if not well_formed or not declared:
        raise BadValue(
            f"evaluator {evaluator.short!r} states no metrics: "
            'metrics = (Metric("radius", better="lower"),)'
        )
    options = _evaluator_options(evaluator)
    suffix = f"[{options}]" if options else ""
    return [replace(metric, name=metric.name + suffix) for metric in declared]


def _evaluator_options(evaluator: Resolved) -> str:
    """``classifier,reference=train``: extractors by their labels, then other changed options."""
    options = evaluator.schema.options
    extractors = [name for name in evaluator.options if options[name].kind == "extractor"]
    labels = (_extractor_label(evaluator.options[name]) for name in extractors)
    others = without_options(evaluator, extractors).changes
    return ",".join(filter(None, (*labels, others)))


def _extractor_label(extractor: object) -> str:
    if not isinstance(extractor, Resolved):
        return "" if extractor is None else type(extractor).__name__
    return without_options(extractor, extractor.schema.cls.unnamed).label


def without_options(component: Resolved, hidden: Collection[str]) -> Resolved:
    """The component less some of its options, for a label that shows the others."""
    shown = {name: value for name, value in component.options.items() if name not in hidden}
    return replace(component, options=shown)


def versions(*components: Resolved) -> str:
    """``sgmkit 0.1, torch 2.6``: PyTorch and the components' distributions, each once, sorted."""
    import torch

    return add_versions(f"torch {torch.__version__}", *components)


def add_versions(text: str, *components: Resolved) -> str:
    """``text``, as `versions` wrote it, with the distributions of more components."""
    more = {f"{name} {version}" for c in components for name, version in c.versions().items()}
    return ", ".join(sorted({*text.split(", "), *more}))
