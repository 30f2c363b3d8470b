"""Memory of the C library: what one operation frees is kept for the next."""

import ctypes
import os
import sys

_TRIM, _MMAP = -1, -3
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h."""
_THRESHOLDS = {_TRIM: 2**31 - 1, _MMAP: 2**30}


def keep_memory() -> bool:
    """Have glibc keep the memory of freed tensors for later ones. Returns whether it does.

    By default it returns larger blocks to the kernel at once, and the kernel clears every page that
    the next tensor needs: a tenth of a training step on a CPU (benchmarks/README.md). Kept memory
    makes the peak of a training grow by some percent. Nothing is changed on other systems, or where
    environment variables configure malloc.
    """
    configured = [
        name for name in os.environ if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES"
    ]
    if sys.platform != "linux" or configured:
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    return mallopt is not None and all(mallopt(key, size) for key, size in _THRESHOLDS.items())
