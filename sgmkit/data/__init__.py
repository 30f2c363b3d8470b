"""What a data set is, and the files that data sets and extractors download or keep.

Read `dataset` first: `Dataset` is the base class of the kind "dataset", `Batch` what it returns.
`download` fetches files, `cache` says where to keep them. This room imports noise and below.
"""

from sgmkit._util.files import write_atomic
from sgmkit.data.cache import cache_directory
from sgmkit.data.dataset import (
    Batch,
    Dataset,
    Mixture,
    Split,
    ValueLaw,
    binarise,
    check_positions,
    dequantise,
)
from sgmkit.data.download import DownloadFailed, fetch, sha256

__all__ = [
    "Batch",
    "Dataset",
    "DownloadFailed",
    "Mixture",
    "Split",
    "ValueLaw",
    "binarise",
    "cache_directory",
    "check_positions",
    "dequantise",
    "fetch",
    "sha256",
    "write_atomic",
]
