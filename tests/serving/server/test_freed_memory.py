"""Large requests are received into pages that the process has already."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource
import sys
from stn_tf.serving.server.freed_memory import keep_freed_memory

def work():
    for _ in range(50):
        requests = [b"x" * 4_800_000 for _ in range(3)]
        del requests

if sys.argv[1] == "keep":
    keep_freed_memory()
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def new_pages(mode: str) -> int:
    command = [sys.executable, "-c", SCRIPT, mode]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's own setting")
def test_freed_memory_is_used_again() -> None:
    assert new_pages("keep") < 1000 < 50_000 < new_pages("leave")
