"""Models that real TensorFlow Addons wrote, brought to stock TensorFlow and ONNX."""

import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf

from stn_tf import native
from stn_tf.export.migration.rescue import migrate
from stn_tf.export.onnx_passes.find import samplers_in


@pytest.fixture(scope="module")
def models(root: Path) -> Path:
    folder = Path(os.environ.get("STN_TF_ADDONS_MODELS", root / ".venv-addons" / "models"))
    if not (folder / "expected.npz").is_file():
        pytest.skip(f"needs what `make addons-models` writes, in {folder}")
    if not native.is_available() or not hasattr(native.operations(), "addons_resampler"):
        pytest.skip("needs the native sampler, without TensorFlow Addons beside it")
    return folder


@pytest.mark.parametrize("name", ["module", "keras"])
def test_migrate(name: str, models: Path, tmp_path: Path) -> None:
    expected = dict(np.load(models / "expected.npz"))
    images = expected["images"]
    result = migrate(models / name, tmp_path / "out")
    assert result.replaced == {"Addons>Resampler": 1}
    assert all(row.passed for row in result.parity)

    serve = tf.saved_model.load(str(result.version_dir)).signatures["serving_default"]
    (argument,) = serve.structured_input_signature[1]
    answers = {key: value.numpy() for key, value in serve(**{argument: images}).items()}
    model = onnx.load(result.version_dir / "model.onnx")
    assert len(samplers_in(model)) == 1
    # Plain: without our library.
    session = onnxruntime.InferenceSession(
        result.version_dir / "model.onnx", providers=["CPUExecutionProvider"]
    )
    values = session.run(list(answers), {argument: images})
    for (output, answer), value in zip(answers.items(), values, strict=True):
        truth = expected[output if name == "module" else "keras"]
        np.testing.assert_allclose(answer, truth, atol=1e-5)
        np.testing.assert_allclose(value, truth, atol=1e-4)
