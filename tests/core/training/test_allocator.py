"""Memory that a step frees is there for the next one: counted in pages, in a process of its own."""

import os
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from sgmkit.training.allocator import keep_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(1 << 21) + 1  # 8 MiB twice
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.set_num_threads(1)
before = faults()
print(keep_memory(), before, (faults(), faults())[1])
"""
glibc = pytest.mark.skipif(
    sys.platform != "linux" or "glibc" not in str(os.confstr("CS_GNU_LIBC_VERSION")),
    reason="glibc has the settings",
)


def page_faults(**environment):
    own = {name: v for name, v in os.environ.items() if not name.startswith("MALLOC_")}
    words = [sys.executable, "-c", FAULTS]
    done = subprocess.run(words, env=own | environment, capture_output=True, text=True, check=True)
    kept, before, after = done.stdout.split()
    return kept == "True", int(before), int(after)


@glibc
def test_what_is_freed_is_taken_again():
    kept, before, after = page_faults()
    assert kept
    assert before > 5000  # or there is nothing to gain here
    assert after < before / 20


@glibc
def test_settings_of_the_environment_stand():
    kept, before, after = page_faults(MALLOC_TRIM_THRESHOLD_="131072")
    assert not kept
    assert after > before / 2
