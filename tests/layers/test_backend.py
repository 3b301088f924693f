"""Under another backend of Keras there is one error, which says what to do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def last_line(code: str, root: Path, **variables: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(root), **variables}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    return done.stderr.rstrip().splitlines()[-1]


def message(backend: str) -> str:
    return (
        f"ImportError: `KERAS_BACKEND` must be tensorflow for stn_tf.layers, but it is {backend}. "
        "Set KERAS_BACKEND=tensorflow in the environment before keras is imported."
    )


@pytest.mark.parametrize("backend", ["torch", "jax"])
@pytest.mark.parametrize("code", ["import stn_tf.layers", "from stn_tf import SpatialTransformer"])
def test_another_backend_exception_raised(code: str, backend: str, root: Path) -> None:
    assert last_line(code, root, KERAS_BACKEND=backend) == message(backend)


def test_another_backend_of_an_imported_keras_exception_raised(root: Path) -> None:
    # No other backend is installed here, and an imported Keras says for itself what it has.
    code = "import keras; keras.config.backend = lambda: 'jax'; import stn_tf.layers"
    assert last_line(code, root, KERAS_BACKEND="tensorflow") == message("jax")
