"""How much memory is free, by what the system tells."""

from pathlib import Path

import pytest

from stn_tf.data.memory import available_bytes

MIB = 2**20


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


MACHINE = {"proc/meminfo": "MemTotal:  9999999 kB\nMemAvailable:    2048 kB\nBuffers: 1 kB\n"}


def test_the_machine_alone(tmp_path: Path) -> None:
    assert available_bytes(write(tmp_path, MACHINE)) == 2 * MIB


def test_a_container_in_either_version(tmp_path: Path) -> None:
    two = {
        "proc/self/cgroup": "0::/pod/box\n",
        "sys/fs/cgroup/memory.stat": "x 1\n",
        "sys/fs/cgroup/pod/memory.max": f"{8 * MIB}\n",
        "sys/fs/cgroup/pod/memory.current": f"{7 * MIB}\n",
        "sys/fs/cgroup/pod/memory.stat": f"anon 5\ninactive_file {MIB // 2}\n",
        "sys/fs/cgroup/pod/box/memory.max": "max\n",
        "sys/fs/cgroup/pod/box/memory.current": "1\n",
    }
    assert available_bytes(write(tmp_path / "2", MACHINE | two)) == MIB + MIB // 2
    one = {
        "proc/self/cgroup": "5:cpu:/a\n4:memory:/b\n",
        "sys/fs/cgroup/memory/b/memory.limit_in_bytes": f"{3 * MIB}\n",
        "sys/fs/cgroup/memory/b/memory.usage_in_bytes": f"{2 * MIB}\n",
    }
    assert available_bytes(write(tmp_path / "1", MACHINE | one)) == MIB
    full = {**one, "sys/fs/cgroup/memory/b/memory.usage_in_bytes": f"{4 * MIB}\n"}
    assert available_bytes(write(tmp_path / "full", MACHINE | full)) == 0


def test_a_system_that_does_not_tell(tmp_path: Path) -> None:
    assert available_bytes(tmp_path) == 4 * 2**30


def test_this_machine() -> None:
    if not Path("/proc/meminfo").exists():
        pytest.skip("needs Linux")
    assert MIB < available_bytes() < 2**50
