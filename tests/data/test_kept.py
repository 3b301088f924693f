"""Where decoded images are kept."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stn_tf.data.kept import ABSENT, EXACT, ROUNDED, InMemory, Nothing, OnDisk
from stn_tf.errors import ConfigError

SHAPE = (3, 4, 3)


@pytest.fixture
def images(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (10, *SHAPE), np.uint8)


def read(kept: InMemory | OnDisk | Nothing, indices: list[int]) -> tuple[np.ndarray, np.ndarray]:
    out = np.zeros((len(indices), *SHAPE), np.uint8)
    return out, kept.get(np.array(indices), out)


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_what_was_put_is_there(kind: str, images: np.ndarray, tmp_path: Path) -> None:
    kept = InMemory(10, SHAPE, 10**6) if kind == "memory" else OnDisk(tmp_path, "x", 10, SHAPE)
    np.testing.assert_array_equal(read(kept, [0, 9])[1], ABSENT)
    kept.put(9, images[9], EXACT)
    kept.put(4, images[4], ROUNDED)
    out, states = read(kept, [4, 0, 9, 4])
    np.testing.assert_array_equal(states, [ROUNDED, ABSENT, EXACT, ROUNDED])
    np.testing.assert_array_equal(out, [images[4], np.zeros(SHAPE), images[9], images[4]])


def test_memory_holds_the_first_images(images: np.ndarray) -> None:
    kept = InMemory(10, SHAPE, 4 * 36 + 35)
    assert kept.capacity == 4
    for index, image in enumerate(images):
        kept.put(index, image, EXACT)
    np.testing.assert_array_equal(read(kept, list(range(10)))[1], [EXACT] * 4 + [ABSENT] * 6)
    assert InMemory(10, SHAPE, -1).capacity == 0
    assert InMemory(10, SHAPE, 10**6).capacity == 10


def test_nothing_keeps_nothing(images: np.ndarray) -> None:
    kept = Nothing()
    kept.put(0, images[0], EXACT)
    np.testing.assert_array_equal(read(kept, [0])[1], ABSENT)


def test_a_later_run_finds_the_images(images: np.ndarray, tmp_path: Path) -> None:
    kept = OnDisk(tmp_path / "new", "x", 10, SHAPE)
    for index in (0, 9):
        kept.put(index, images[index], EXACT)
    del kept
    later = OnDisk(tmp_path / "new", "x", 10, SHAPE)
    out, states = read(later, [9, 5, 0])
    np.testing.assert_array_equal(states, [EXACT, ABSENT, EXACT])
    np.testing.assert_array_equal(out[[0, 2]], images[[9, 0]])
    # Two at once.
    other = OnDisk(tmp_path / "new", "x", 10, SHAPE)
    other.put(5, images[5], EXACT)
    later.put(5, images[5], EXACT)
    np.testing.assert_array_equal(read(later, [5])[0][0], images[5])


KILLED = """
import os, signal, sys
import numpy as np
from pathlib import Path
from stn_tf.data import kept
kept._UNSAVED_BYTES = 4 * 36
cache = kept.OnDisk(Path(sys.argv[1]), "x", 10, (3, 4, 3))
for index in range(10):
    cache.put(index, np.full((3, 4, 3), index, np.uint8), kept.EXACT)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_run_leaves_only_what_is_whole(tmp_path: Path, root: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path], cwd=root, check=False)
    assert done.returncode == -9
    out, states = read(OnDisk(tmp_path, "x", 10, SHAPE), list(range(10)))
    # Told in fours; the last two were not told yet.
    np.testing.assert_array_equal(states, [EXACT] * 8 + [ABSENT] * 2)
    np.testing.assert_array_equal(out[:8, 0, 0, 0], np.arange(8))


FULL = """
import logging, resource, signal, sys
import numpy as np
from pathlib import Path
from stn_tf.data import kept
logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
cache = kept.OnDisk(Path(sys.argv[1]), "x", 10, (3, 4, 3))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5 * 36, 5 * 36))
for index in range(10):
    cache.put(index, np.full((3, 4, 3), index, np.uint8), kept.EXACT)
out = np.zeros((10, 3, 4, 3), np.uint8)
print(cache.get(np.arange(10), out).tolist(), out[:, 0, 0, 0].tolist())
"""


def test_a_disk_that_fills_up_costs_only_the_cache(tmp_path: Path, root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path], cwd=root, check=True, capture_output=True, text=True
    )
    warning, result = done.stdout.splitlines()
    assert warning.startswith("No more decoded images are kept on disk: File too large")
    assert result == f"{[1] * 5 + [0] * 5} {[0, 1, 2, 3, 4] + [0] * 5}"


def test_wrong_folders_exception_raised(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"`cache_dir` must be a folder .*file is not: "):
        OnDisk(tmp_path / "file", "x", 10, SHAPE)
    with pytest.raises(ConfigError, match=r"must have room for 9765\.6 GiB .*cache=none"):
        OnDisk(tmp_path, "y", 10 * 2**20, (1000, 1000, 1))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
