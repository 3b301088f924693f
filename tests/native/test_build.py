"""Building where there is no compiler, or one that fails."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def build(folder: Path, root: Path, **environment: str) -> subprocess.CompletedProcess:
    # Another copy of the sources: beside the real ones stands what was already built.
    sources = folder / "sources"
    sources.mkdir()
    for path in (root / "stn_tf" / "native").rglob("*"):
        if path.suffix in (".py", ".cpp", ".h"):
            copy = sources / path.relative_to(root / "stn_tf" / "native")
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(path.read_bytes())
    return subprocess.run(
        [sys.executable, str(sources / "build.py"), str(folder / "out")],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"CXX": "no-such-compiler"}, "the C++ compiler 'no-such-compiler' of $CXX was not found"),
        ({"CXX": "", "PATH": ""}, "no C++ compiler was found"),
        ({"CXX": "false"}, "`false` failed"),
    ],
)
def test_a_build_that_cannot_be_says_why(
    environment: dict[str, str], reason: str, root: Path, tmp_path: Path
) -> None:
    done = build(tmp_path, root, **environment)
    assert done.returncode == 1
    assert reason in done.stderr
    record = json.loads((tmp_path / "out" / "build.json").read_text())
    assert record["built"] is False
    assert reason in record["reason"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["build.json"]


_WITHOUT = """
import stn_tf, stn_tf.libraries as libraries, pathlib
libraries._FOLDER = pathlib.Path(r"{folder}")
from stn_tf import native
print(native.load_error(), stn_tf.grid_sample([[[[1.0], [2.0]]]], [[[[0.0, 0.0]]]]).numpy().item())
with stn_tf.native_sampler():
    print(stn_tf.warp([[[[1.0], [2.0]]]], stn_tf.identity()[None], (1, 1)).numpy().item())
"""


def test_without_a_library_everything_runs(root: Path, tmp_path: Path) -> None:
    (tmp_path / "build.json").write_text('{"built": false, "reason": "no C++ compiler was found"}')
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT.format(folder=tmp_path)],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n")[:2] == ["no C++ compiler was found 1.5", "1.5"]


@pytest.mark.slow
def test_a_damaged_library_is_not_used(root: Path, tmp_path: Path) -> None:
    (tmp_path / "libstn_tf_tensorflow.so").write_bytes(b"no library")
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT.format(folder=tmp_path)],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "libstn_tf_tensorflow.so does not load" in done.stdout
    assert done.stdout.rstrip().endswith("1.5")
