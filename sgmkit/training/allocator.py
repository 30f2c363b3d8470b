"""The C library's memory: what one operation frees, the next takes again."""

import ctypes
import os
import sys

_TRIM, _MMAP = -1, -3
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h."""
_THRESHOLDS = {_TRIM: 2**31 - 1, _MMAP: 2**30}


def keep_memory() -> bool:
    """Have glibc keep the memory of tensors that are gone; whether it does.

    It hands the larger ones back at once, and the kernel clears every page that the next tensor
    asks for: a tenth of a training step on a CPU (benchmarks/README.md). The peak of a
    training grows by some percent. Nothing is done on other systems, or where the environment has
    settings of its own.
    """
    told = [name for name in os.environ if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES"]
    if sys.platform != "linux" or told:
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    return mallopt is not None and all(mallopt(key, size) for key, size in _THRESHOLDS.items())
