"""The SavedModel, loaded again where there is TensorFlow and nothing of ours."""

import io
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

from stn_tf.errors import ExportError
from stn_tf.export import saved_model
from stn_tf.export.tensorflow.saved_model_file import check_stock
from stn_tf.layers import record_transformations

_STOCK = """
import sys
for name in ("stn_tf", "keras", "onnx", "tf2onnx"):
    sys.modules[name] = None  # An import of it fails.
import numpy as np
import tensorflow as tf
folder, source, target = sys.argv[1:]
given = np.load(source, allow_pickle=False)
signatures = tf.saved_model.load(folder).signatures
answers = {}
for size in (1, 2, 7):
    for name, signature in signatures.items():
        if name == "serving_bytes":
            feed = {"image_bytes": tf.constant([given[f"png_{i}"].tobytes() for i in range(size)])}
        else:
            feed = {"images": tf.constant(given["images"][:size])}
        for output, value in signature(**feed).items():
            answers[f"{size} {name} {output}"] = value.numpy()
np.savez(target, **answers)
"""


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0]).save(file, "PNG")
    return file.getvalue()


def test_answers_in_stock_tensorflow(exported, images, tmp_path):
    pixels = np.rint(images[:7] * 255).astype(np.uint8)
    images = pixels.astype(np.float32) / 255
    pngs = {f"png_{i}": np.frombuffer(_png(image), np.uint8) for i, image in enumerate(pixels)}
    np.savez(tmp_path / "given.npz", images=images, **pngs)
    paths = [exported.version_dir, tmp_path / "given.npz", tmp_path / "answers.npz"]
    subprocess.run([sys.executable, "-I", "-c", _STOCK, *map(str, paths)], check=True)
    answers = np.load(tmp_path / "answers.npz")

    with record_transformations() as records:
        logits = exported.model(images).numpy()
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    expected = {
        "localize theta": records[0].theta.numpy(),
        "rectify crops": records[0].crops.numpy(),
    }
    # The corners by hand: (x, y) of the output's outer edges, then to pixels of 14 x 12 images.
    square = np.array([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]], np.float64)
    points = np.einsum("nij,pj->npi", expected["localize theta"], square)
    expected["localize corners"] = ((points + 1) * [12, 14] - 1) / 2
    for name in ("serving_default", "serving_bytes"):
        expected[f"{name} logits"] = logits
        expected[f"{name} probabilities"] = probabilities
        expected[f"{name} class"] = logits.argmax(axis=1)
    assert set(answers) == {f"{size} {name}" for size in (1, 2, 7) for name in expected}
    for size in (1, 2, 7):
        for name, value in expected.items():
            answer = answers[f"{size} {name}"]
            np.testing.assert_allclose(answer, value[:size], atol=2e-5, err_msg=f"{size} {name}")
    assert answers["1 serving_default class"].dtype == np.int64


def test_signatures_have_a_free_batch_and_plain_names(exported):
    proto = saved_model_pb2.SavedModel.FromString(
        (exported.version_dir / "saved_model.pb").read_bytes()
    )
    signatures = proto.meta_graphs[0].signature_def

    def shapes(infos):
        return {k: [d.size for d in v.tensor_shape.dim] for k, v in infos.items()}

    images, default = [-1, 14, 12, 1], {"logits": [-1, 4], "probabilities": [-1, 4], "class": [-1]}
    expected = {
        "serving_default": ({"images": images}, default),
        "serving_bytes": ({"image_bytes": [-1]}, default),
        "localize": ({"images": images}, {"theta": [-1, 2, 3], "corners": [-1, 4, 2]}),
        "rectify": ({"images": images}, {"crops": [-1, 8, 9, 1]}),
    }
    found = {
        name: (shapes(signature.inputs), shapes(signature.outputs))
        for name, signature in signatures.items()
        if name != "__saved_model_init_op"
    }
    assert found == expected


def test_holds_no_training(exported):
    names = [
        name
        for name, _ in tf.train.list_variables(
            str(exported.version_dir / "variables" / "variables")
        )
    ]
    values = [name for name in names if name.endswith("VARIABLE_VALUE")]
    # A convolution, theta's regression and the logits: a kernel and a bias each.
    assert len(values) == 6


def test_bytes_are_decoded_and_letterboxed(exported):
    signature = tf.saved_model.load(str(exported.version_dir)).signatures["serving_bytes"]
    large_jpeg = io.BytesIO()
    Image.new("RGB", (50, 31), (128, 128, 128)).save(large_jpeg, "JPEG", quality=95)
    small_png = _png(np.full((3, 4, 1), 128, np.uint8))
    answers = signature(image_bytes=tf.constant([large_jpeg.getvalue(), small_png]))
    # As in training: fitted as a whole, with black above and below.
    letterboxed = np.zeros((2, 14, 12, 1), np.float32)
    letterboxed[0, 3:10] = letterboxed[1, 2:11] = 128 / 255
    np.testing.assert_allclose(answers["logits"], exported.model(letterboxed), atol=1e-5)


def test_channels_that_no_image_file_has(tmp_path):
    images = keras.Input((6, 6, 2))
    model = keras.Model(images, keras.layers.Dense(3)(keras.layers.Flatten()(images)))
    signatures = saved_model(model, tmp_path / "out", task="classification", input_range=(0, 1))
    outputs = ("output", "probabilities", "class")
    assert signatures == {"serving_default": outputs}


def test_images_of_which_nobody_knows_the_range(classifier, tmp_path):
    signatures = saved_model(classifier(), tmp_path / "out", classes=["a", "b", "c", "d"])
    assert set(signatures) == {"serving_default", "localize", "rectify"}


class _Python(keras.layers.Layer):
    def call(self, features: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(tf.numpy_function(np.abs, [features], tf.float32), features.shape)


def test_what_serving_lacks_is_refused(tmp_path):
    images = keras.Input((6, 6, 1))
    features = keras.layers.Flatten()(images)
    model = keras.Model(images, keras.layers.Dense(3)(_Python()(features)))
    with pytest.raises(ExportError, match="not have: PyFunc"):
        saved_model(model, tmp_path / "out")


@tf.function(jit_compile=True)
def _compiled(features: tf.Tensor) -> tf.Tensor:
    return tf.nn.relu(features) * 2.0


class _Compiled(keras.layers.Layer):
    def call(self, features: tf.Tensor) -> tf.Tensor:
        return _compiled(features)


def test_what_xla_compiled_is_exported_without_it(tmp_path):
    images = keras.Input((6, 6, 1))
    features = _Compiled()(keras.layers.Flatten()(images))
    model = keras.Model(images, keras.layers.Dense(3)(features))
    saved_model(model, tmp_path / "out")
    assert b"_XlaMustCompile" not in (tmp_path / "out" / "saved_model.pb").read_bytes()
    values = np.random.default_rng(1).normal(size=(3, 6, 6, 1)).astype(np.float32)
    signature = tf.saved_model.load(str(tmp_path / "out")).signatures["serving_default"]
    found = signature(images=tf.constant(values))["output"]
    kernel, bias = model.layers[-1].get_weights()
    expected = 2.0 * np.maximum(values.reshape(3, 36), 0.0).astype(np.float64) @ kernel + bias
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found, model(values), atol=1e-5)


def test_a_file_that_must_be_compiled_is_found(tmp_path):
    module = tf.Module()
    spec = tf.TensorSpec([None, 3], name="x")
    module.answer = tf.function(lambda x: {"y": _compiled(x)}, input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": module.answer})
    with pytest.raises(ExportError, match="uses `jit_compile=True` in __inference_"):
        check_stock(tmp_path)
