"""Metrics on features of images (FID, KID, precision and recall, inception score) and extractors.

Read `bank` first: images in chunks, and features that are computed once and kept by `cache`; then
`feature_metric`, the bases of the metrics in `fid` (its mathematics are in `frechet`), `kid`, `prc`
and `isc`. The extractors are `inception`, and `classifier` with its `classifier_training`. Imports
`sgmkit`, torch, NumPy and safetensors; torch-fidelity in `inception` and `prc` alone.
"""

from collections.abc import Iterable

from sgmkit import Component, hookimpl


@hookimpl
def sgmkit_components() -> Iterable[Component]:
    """Four evaluators and two extractors."""
    yield Component(
        "evaluator",
        "fid",
        "sgmkit_features.fid:Fid",
        "Frechet distance of Gaussians fitted to features (FID)",
    )
    yield Component(
        "evaluator",
        "kid",
        "sgmkit_features.kid:Kid",
        "kernel distance of features, unbiased (KID)",
    )
    yield Component(
        "evaluator",
        "prc",
        "sgmkit_features.prc:PrecisionRecall",
        "share of samples that look like data, and of data that some sample looks like",
        aliases=("precision-recall",),
        extra="inception",
    )
    yield Component(
        "evaluator",
        "isc",
        "sgmkit_features.isc:InceptionScore",
        "inception score: sure of each sample's class, and of many classes",
        aliases=("inception-score",),
    )
    yield Component(
        "extractor",
        "inception",
        "sgmkit_features.inception:Inception",
        "Inception-v3 of the published FID, 2,048 features; weights are downloaded at first use",
        extra="inception",
    )
    yield Component(
        "extractor",
        "classifier",
        "sgmkit_features.classifier:Classifier",
        "small classifier of digits or any labelled images, trained once and kept",
    )
