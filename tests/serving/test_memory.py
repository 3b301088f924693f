"""Memory that is handed back to the system."""

import platform
import subprocess
import sys

import pytest

# Blocks of malloc's own, below one that stays: nothing of theirs goes back by itself.
_SCRIPT = """
import gc
from stn_tf.serving.models.memory import give_back

def resident():
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmRSS:"))
    return int(line.split()[1])

class Node:
    pass

gc.disable()
empty = resident()
nodes = [Node() for _ in range(1000)]
for node in nodes:
    node.block, node.itself = b"x" * 100_000, node
last = b"x" * 100_000
full = resident()
del nodes, node
give_back()
print(empty, full, resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries keep nothing")
def test_give_back() -> None:
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True)
    empty, full, after = map(int, done.stdout.split())
    assert full > empty + 90_000
    assert after < empty + 10_000
