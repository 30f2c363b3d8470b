"""Small files in the format of the official MNIST ones."""

import gzip
import hashlib
import math

import numpy as np

from sgmkit_datasets import mnist

COUNTS = {"train": 30, "t10k": 12}


def idx(array):
    """The bytes of an idx file: header, then the values."""
    shape = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + shape + array.tobytes()


def levels(split):
    """Images ``(n, 28, 28)``, every level among them, and labels ``(n,)``, as bytes."""
    n = COUNTS[split]
    place = np.arange(n * 28 * 28).reshape(n, 28, 28)
    return (place * 7 + place // 256 + n).astype(np.uint8), (np.arange(n) * 3 % 10).astype(np.uint8)


def contents():
    """Name -> bytes of the four files."""
    return {
        f"{split}-{what}-ubyte.gz": gzip.compress(idx(array), mtime=0)
        for split in COUNTS
        for what, array in zip(("images-idx3", "labels-idx1"), levels(split), strict=True)
    }


def use_as_official(monkeypatch):
    """Make the small files the ones that `Mnist` expects; nothing can be downloaded."""
    files = contents()
    assert list(files) == list(mnist.FILES)
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    monkeypatch.setattr(mnist, "FILES", digests)
    monkeypatch.setattr(mnist, "MIRRORS", ())
    assert len(idx(levels("train")[0])) == 16 + math.prod((30, 28, 28))
    return files
