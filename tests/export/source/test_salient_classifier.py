"""A transformer that starts where a shared backbone's features are strong, in less precision."""

from pathlib import Path

import keras
import numpy as np
import onnx
import pytest

from stn_tf.export import ExportOptions, export_model
from stn_tf.export.proof.runtimes.onnx_runtime import onnx_runtime
from stn_tf.models import build_classifier

SHAPE = (48, 48, 3)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(6)
    made = build_classifier(
        SHAPE, 4, backbone="small", weights="none", transformers=1, localisation="salient"
    )
    rng = np.random.default_rng(0)
    for variable in made.trainable_variables:
        if variable.name == "gamma":  # Residual blocks start at zero.
            variable.assign(rng.uniform(0.8, 1.2, variable.shape))
    return made


@pytest.fixture(scope="module")
def photographs() -> np.ndarray:
    """Bright squares on dark grounds."""
    rng = np.random.default_rng(1)
    images = rng.uniform(0.0, 0.2, (40, *SHAPE)).astype(np.float32)
    for image in images:
        top, left = rng.integers(0, 28, 2)
        image[top : top + 20, left : left + 20] += rng.uniform(0.4, 0.8, 3)
    return images


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_it_exports(
    precision: str, model: keras.Model, photographs: np.ndarray, tmp_path: Path
) -> None:
    options = ExportOptions(precision=precision, max_accuracy_drop=100.0)
    result = export_model(
        model,
        tmp_path,
        images=photographs,
        options=options,
        classes=list("abcd"),
        task="classification",
        input_range=(0, 1),
    )
    (sampler,) = result.manifest.samplers
    assert sampler.depth > 8
    file = onnx.load(result.version_dir / "model.onnx")
    onnx.checker.check_model(file)
    written = [name for node in file.graph.node for name in node.output]
    assert len(written) == len(set(written))
    found = onnx_runtime(file.SerializeToString())({"images": photographs})
    assert np.ptp(found["theta"][:, 0, 2]) > 0.1  # It follows the square.
    logits = model(photographs, training=False)
    allowed = {"float16": 0.05, "int8": 0.5}[precision]
    assert np.abs(found["logits"] - logits).max() < allowed * np.abs(logits).max()
