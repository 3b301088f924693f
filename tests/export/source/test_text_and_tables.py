"""Text, lookup tables and models of TensorFlow 1: exported and compared, or refused with a cure."""

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from stn_tf.errors import ExportError
from stn_tf.export import ExportOptions, export_model
from stn_tf.export.proof.validation import validate

v1 = tf.compat.v1
SAVED_MODEL = ExportOptions(formats=("saved_model",))


def with_table(dtype: str) -> keras.Model:
    images = keras.Input((4, 4, 1), name="images")
    code = keras.Input((1,), dtype=dtype, name="code")
    if dtype == "string":
        lookup = keras.layers.StringLookup(vocabulary=["a", "bé", "c"])
    else:
        lookup = keras.layers.IntegerLookup(vocabulary=[10, 20, 30])
    rows = keras.layers.Flatten()(keras.layers.Embedding(4, 3)(lookup(code)))
    both = keras.layers.Concatenate(name="both")([keras.layers.Flatten()(images), rows])
    return keras.Model([images, code], both)


EXAMPLES = {
    "string": np.array([["a"], ["bé"], ["c"], ["zz"], ["a"]], object),
    "int64": np.array([[10], [20], [30], [5], [20]]),
}


@pytest.mark.parametrize("dtype", EXAMPLES)
def test_a_lookup_table(dtype, tmp_path):
    model = with_table(dtype)
    images = np.random.default_rng(0).uniform(size=(5, 4, 4, 1)).astype(np.float32)
    feeds = {"images": images, "code": EXAMPLES[dtype]}
    message = r"looks values up in a table \(LookupTableFindV2\).*--format saved_model"
    with pytest.raises(ExportError, match=message) as error:
        export_model(model, tmp_path / "out", images=feeds)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()
    result = export_model(model, tmp_path / "out", images=feeds, options=SAVED_MODEL)
    again = tf.saved_model.load(str(result.version_dir)).signatures["serving_default"]
    said = again(images=tf.constant(images), code=tf.constant(EXAMPLES[dtype]))["both"]
    np.testing.assert_allclose(
        said, model([tf.constant(images), tf.constant(EXAMPLES[dtype])]), atol=1e-6
    )
    assert validate(result.version_dir).passed


def test_text_needs_examples(tmp_path):
    with pytest.raises(ExportError, match=r"`code` holds text.* Give some: arrays for all inputs"):
        export_model(with_table("string"), tmp_path, options=SAVED_MODEL)


def test_labels_as_text(tmp_path):
    """TensorFlow says bytes, ONNX Runtime text."""

    @tf.function(input_signature=[tf.TensorSpec([None, 4, 4, 1], name="images")])
    def function(images):
        scores = tf.reshape(images, [-1, 16])[:, :2]
        label = tf.gather(tf.constant(["cat", "dög"]), tf.argmax(scores, -1))
        return {"scores": scores, "label": label}

    result = export_model(function, tmp_path)
    assert "label" in {row.output for row in result.manifest.parity}
    session = onnxruntime.InferenceSession(result.version_dir / "model.onnx")
    images = np.zeros((1, 4, 4, 1), np.float32)
    images[0, 0, 1] = 1.0
    assert session.run(["label"], {"images": images})[0].tolist() == ["dög"]
    assert validate(result.version_dir).passed


@pytest.mark.parametrize("resource", [False, True], ids=["references", "resources"])
def test_a_model_of_tensorflow_1(resource, tmp_path):
    with tf.Graph().as_default(), v1.Session() as session:
        images = v1.placeholder(tf.float32, [None, 4, 4, 1], name="x")
        weights = v1.get_variable("w", [16, 3], use_resource=resource)
        scores = tf.matmul(tf.reshape(images, [-1, 16]), weights)
        session.run(v1.global_variables_initializer())
        known = session.run(weights)
        v1.saved_model.simple_save(
            session, str(tmp_path / "old"), {"images": images}, {"scores": scores}
        )
    notes: list[str] = []
    result = export_model(tmp_path / "old", tmp_path / "out", on_note=notes.append)
    assert any("of TensorFlow 1" in note for note in notes) != resource
    values = np.random.default_rng(0).uniform(size=(3, 4, 4, 1)).astype(np.float32)
    expected = values.reshape(3, 16) @ known
    again = tf.saved_model.load(str(result.version_dir)).signatures["serving_default"]
    np.testing.assert_allclose(again(images=values)["scores"], expected, atol=1e-5)
    session = onnxruntime.InferenceSession(result.version_dir / "model.onnx")
    (said,) = session.run(["scores"], {"images": values})
    np.testing.assert_allclose(said, expected, atol=1e-5)


def test_a_table_of_tensorflow_1(tmp_path):
    with tf.Graph().as_default(), v1.Session() as session:
        words = v1.placeholder(tf.string, [None], name="x")
        weights = v1.get_variable("w", [3], use_resource=False)
        pairs = tf.lookup.KeyValueTensorInitializer(["a", "b"], [0, 1], value_dtype=tf.int64)
        table = tf.lookup.StaticHashTable(pairs, 2)
        scores = tf.gather(weights, table.lookup(words))
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        v1.saved_model.simple_save(
            session,
            str(tmp_path / "old"),
            {"words": words},
            {"scores": scores},
            legacy_init_op=v1.tables_initializer(),
        )
    with pytest.raises(ExportError, match="of TensorFlow 1, looks values up in a table"):
        export_model(tmp_path / "old", tmp_path / "out", options=SAVED_MODEL)
