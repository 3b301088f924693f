"""The positions in ONNX Runtime's table that we trust, in the versions that people have.

Positions only grow, so one build serves them all. That is a promise of ONNX Runtime's: here an
operation calls each function that ours call and says what it did, in the oldest version that we
support, the one that is installed and the newest.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from stn_tf import native
from tests import reference

# Beside the installed one; None is that. The last is the newest of November 2026.
VERSIONS = ("1.25", None, "1.32")

# Runs a model with a library of operations: model, library, feeds, where the answer goes.
_RUN = """
import resource, sys
import numpy as np, onnxruntime
model, library, feeds, answer = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.log_severity_level = 4
options.register_custom_ops_library(library)
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
(output,) = session.run(None, dict(np.load(feeds)))
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
np.savez(answer, output=output, grown_megabytes=grown / 1024, version=onnxruntime.__version__)
"""


@pytest.fixture(scope="module", params=VERSIONS, ids=lambda version: version or "installed")
def environment(request: pytest.FixtureRequest, root: Path) -> dict[str, str]:
    """The environment variables with which Python imports that version."""
    version = request.param
    if version is None:
        return dict(os.environ)
    folder = root / ".venv-ort" / version
    if not folder.is_dir():
        _install(f"onnxruntime=={version}.*", folder)
    return {**os.environ, "PYTHONPATH": str(folder)}


def _install(requirement: str, folder: Path) -> None:
    """Installs one wheel into a folder of its own; what it needs comes from our environment."""
    folder.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
        done = subprocess.run([*command, name, requirement], capture_output=True, text=True)
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            pytest.skip(f"pip could not install {requirement}: {last}")
        # Whole or not at all, also where another process does the same.
        if not folder.is_dir():
            Path(name).rename(folder)
            Path(name).mkdir()


@pytest.fixture(scope="module")
def probe(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    library = tmp_path_factory.mktemp("probe") / "probe.so"
    source = root / "tests" / "native" / "onnxruntime_probe.cpp"
    include = root / "stn_tf" / "native" / "src"
    flags = ["-std=c++17", "-O1", "-fPIC", "-shared", f"-I{include}"]
    done = subprocess.run(
        [compiler, *flags, str(source), "-o", str(library)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return library


def _run(
    environment: dict[str, str],
    library: Path | str,
    folder: Path,
    feeds: Mapping[str, np.ndarray],
    operation: str,
    domain: str,
    **attributes: Any,
) -> subprocess.CompletedProcess:
    """Runs one node; its answer is in `folder / "answer.npz"`."""
    node = helper.make_node(operation, list(feeds), ["output"], domain=domain, **attributes)
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in feeds]
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "one_node", inputs, [output])
    versions = [helper.make_opsetid("", 18), helper.make_opsetid(domain, 1)]
    onnx.save(helper.make_model(graph, opset_imports=versions, ir_version=9), folder / "m.onnx")
    np.savez(folder / "feeds.npz", **feeds)
    paths = [folder / "m.onnx", library, folder / "feeds.npz", folder / "answer.npz"]
    return subprocess.run(
        [sys.executable, "-c", _RUN, *map(str, paths)],
        env=environment,
        cwd=folder,  # Not the checkout, whose packages would be found first.
        capture_output=True,
        text=True,
    )


FEEDS = {
    "first": np.full((2, 3, 5), 7.25, np.float32),
    "second": np.full((4,), -1.5, np.float32),
}


def test_every_function_does_what_its_name_says(
    environment: dict[str, str], probe: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    attributes = {"number": -12345, "text": "probe", "repeat": 50000}
    done = _run(environment, probe, tmp_path, FEEDS, "Numbers", "probe", **attributes)
    assert done.returncode == 0, done.stderr
    answer = np.load(tmp_path / "answer.npz")
    wanted = request.node.callspec.params["environment"]
    assert wanted is None or str(answer["version"]).startswith(wanted)
    letters = [ord(letter) for letter in "probe"]
    # Rank, shape and first value of each input; the attributes; a hundred visits of 0 ... 99.
    expected = [3, 2, 3, 5, 7.25, 1, 4, -1.5, -12345, *letters, 100, 99 * 50]
    np.testing.assert_array_equal(answer["output"], [expected])
    # Fifty thousand messages of ten kilobytes were released, and a million shapes.
    assert answer["grown_megabytes"] < 100


def test_a_status_carries_its_message(
    environment: dict[str, str], probe: Path, tmp_path: Path
) -> None:
    attributes = {"number": 0, "text": "fail", "repeat": 0}
    done = _run(environment, probe, tmp_path, FEEDS, "Numbers", "probe", **attributes)
    assert done.returncode != 0
    assert "the probe was told to fail" in done.stderr


def test_our_operation(
    environment: dict[str, str], tmp_path: Path, rng: np.random.Generator
) -> None:
    feeds = {
        "images": rng.uniform(size=(2, 6, 5, 3)).astype(np.float32),
        "grid": rng.uniform(-1.2, 1.2, (2, 300, 200, 2)).astype(np.float32),
    }
    library = native.onnxruntime_library_path()
    choices = {"kernel": "bicubic", "padding": "border", "align_corners": 1}
    done = _run(environment, library, tmp_path, feeds, "GridSample", "ai.stn_tf", **choices)
    assert done.returncode == 0, done.stderr
    found = np.load(tmp_path / "answer.npz")["output"][:, ::20, ::20]
    expected = reference.grid_sample(
        feeds["images"], feeds["grid"][:, ::20, ::20], "bicubic", "border", True
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_shapes_that_do_not_fit(environment: dict[str, str], tmp_path: Path) -> None:
    feeds = {"images": np.ones((2, 4, 4), np.float32), "grid": np.ones((2, 1, 1, 2), np.float32)}
    library = native.onnxruntime_library_path()
    done = _run(environment, library, tmp_path, feeds, "GridSample", "ai.stn_tf")
    assert done.returncode != 0
    assert "`images` must be" in done.stderr
