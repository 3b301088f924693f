"""LiteRT files: what they hold, what they say, and what cannot become one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from stn_tf.errors import ExportError, ParityError
from stn_tf.export import ExportOptions, export_model, load_network, read_manifest
from stn_tf.export.proof.runtimes.litert_runtime import create_interpreter
from stn_tf.export.publish import version
from stn_tf.export.tensorflow.litert import litert


def test_the_file_has_the_signatures_and_any_batch(classifier, images, tmp_path):
    model = classifier()
    notes: list[str] = []
    options = ExportOptions(formats=("litert",))
    result = export_model(
        model, tmp_path, images=images, options=options, on_note=notes.append, task="classification"
    )
    files = {path.name for path in result.version_dir.iterdir()}
    assert files == {"model.tflite", "assets.extra"}
    assert {row.candidate for row in result.manifest.parity} == {"litert"}
    assert any(note.startswith("model.tflite has 0.") for note in notes)
    interpreter = create_interpreter(result.version_dir / "model.tflite")
    assert set(interpreter.get_signature_list()) == {"serving_default", "localize", "rectify"}
    for count in (1, 5):
        said = interpreter.get_signature_runner("serving_default")(images=images[:count])
        np.testing.assert_allclose(said["logits"], model(images[:count]), atol=1e-5)


def test_a_wrong_file_is_not_kept(classifier, images, tmp_path, monkeypatch):
    other = classifier()
    other.layers[-1].bias.assign_add([0.5, 0.0, 0.0, 0.0])
    monkeypatch.setattr(version, "litert", lambda network, path: litert(load_network(other), path))
    with pytest.raises(ParityError, match=r"`logits` of litert differs .* by 0\.5"):
        export_model(
            classifier(), tmp_path, images=images, options=ExportOptions(formats=("litert",))
        )
    assert list(tmp_path.iterdir()) == []


def test_what_litert_lacks_is_named(tmp_path):
    images = keras.Input((6, 6, 1))
    values = keras.layers.Lambda(lambda x: tf.linalg.svd(x[..., 0], compute_uv=False))(images)
    model = keras.Model(images, values)
    options = ExportOptions(formats=("saved_model", "litert"))
    with pytest.raises(ExportError, match=r"LiteRT: it lacks .*Svd") as error:
        export_model(model, tmp_path, options=options)
    assert "\n" not in str(error.value)
    assert "--format" in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("formats", [("saved_model",), ("onnx",)])
def test_one_format_alone(formats, classifier, images, tmp_path):
    result = export_model(
        classifier(), tmp_path, images=images, options=ExportOptions(formats=formats)
    )
    held = {"saved_model.pb": "saved_model", "model.onnx": "onnx"}
    found = {held[path.name] for path in result.version_dir.iterdir() if path.name in held}
    assert found == set(formats)
    assert (read_manifest(result.version_dir).onnx is None) == (formats == ("saved_model",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"formats": ("tflite",)},
            r"`formats` must be one of .* litert, .*'tflite'",
        ),
        ({"formats": ()}, "`formats` must be one of"),
        ({"formats": ("litert",), "precision": "int8"}, "`precision` int8 is for model.onnx"),
    ],
)
def test_formats_that_cannot_be(options, message):
    with pytest.raises(ExportError, match=message):
        ExportOptions(**options)
