"""Models that real TensorFlow Addons wrote, on the TensorFlow of today.

`make addons-models` writes them, in an environment of their own.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from stn_tf import native


@pytest.fixture(scope="module")
def models(root: Path) -> Path:
    folder = Path(os.environ.get("STN_TF_ADDONS_MODELS", root / ".venv-addons" / "models"))
    if not (folder / "expected.npz").is_file():
        pytest.skip(f"needs what `make addons-models` writes, in {folder}")
    if not hasattr(native.operations(), "addons_resampler"):
        pytest.skip("TensorFlow Addons is installed here, and brings the operation itself")
    return folder


@pytest.fixture(scope="module")
def expected(models: Path) -> dict[str, np.ndarray]:
    return dict(np.load(models / "expected.npz"))


def test_module(models: Path, expected: dict[str, np.ndarray]) -> None:
    answers = tf.saved_model.load(str(models / "module"))(tf.constant(expected["images"]))
    assert np.abs(expected["crops"] - expected["images"]).max() > 0.1
    for name in ("crops", "logits"):
        np.testing.assert_allclose(answers[name], expected[name], atol=1e-5)


def test_keras_model(models: Path, expected: dict[str, np.ndarray]) -> None:
    serve = tf.saved_model.load(str(models / "keras")).signatures["serving_default"]
    (answer,) = serve(tf.constant(expected["images"])).values()
    np.testing.assert_allclose(answer, expected["keras"], atol=1e-5)


@pytest.mark.parametrize("points", ["plane", "list"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
def test_operation_and_gradients(
    dtype: str, tolerance: float, points: str, expected: dict[str, np.ndarray]
) -> None:
    named = {name: expected[f"{dtype}-{points}-{name}"] for name in ("data", "warp", "upstream")}
    with tf.GradientTape() as tape:
        inputs = [tf.constant(named["data"]), tf.constant(named["warp"])]
        tape.watch(inputs)
        output = native.operations().addons_resampler(*inputs)
    gradients = tape.gradient(output, inputs, tf.constant(named["upstream"]))
    for name, value in zip(("output", "to_data", "to_warp"), [output, *gradients], strict=True):
        np.testing.assert_allclose(
            value, expected[f"{dtype}-{points}-{name}"], rtol=tolerance, atol=tolerance
        )


@pytest.mark.parametrize("points", ["plane", "list"])
def test_half_precision(points: str, expected: dict[str, np.ndarray]) -> None:
    # Addons adds up in float16, we in float32.
    data, warp = (tf.constant(expected[f"float16-{points}-{name}"]) for name in ("data", "warp"))
    output = native.operations().addons_resampler(data, warp)
    assert output.dtype == tf.float16
    np.testing.assert_allclose(output, expected[f"float16-{points}-output"], atol=1e-2)
