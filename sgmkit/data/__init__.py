"""What a data set is. This room imports noise."""

from sgmkit.data.dataset import (
    Batch,
    Dataset,
    Mixture,
    Split,
    Values,
    binarise,
    check_positions,
    dequantise,
)

__all__ = [
    "Batch",
    "Dataset",
    "Mixture",
    "Split",
    "Values",
    "binarise",
    "check_positions",
    "dequantise",
]
