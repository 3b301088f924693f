"""What `inspect_model` finds, compared with what is known by hand or by TensorFlow."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from stn_tf import native
from stn_tf.errors import ModelError
from stn_tf.export.inspection.model_file import inspect_model
from stn_tf.export.inspection.result import FileInspection, Signature
from tests.serving import handmade


def codes(file: FileInspection) -> set[str]:
    return {notice.code for notice in file.warnings}


def _only(file: FileInspection, name: str) -> Signature:
    return next(signature for signature in file.signatures if signature.name == name)


def test_version_directory(exported):
    found = inspect_model(exported.version_dir)
    saved_model, onnx_file = found.files
    assert (saved_model.kind, onnx_file.kind) == ("saved_model", "onnx")
    assert found.provenance["experiment"] == "unit"
    assert found.provenance["error_percent"] == "12.5"
    assert not list(found.all_warnings)
    loaded = tf.saved_model.load(str(exported.version_dir))
    assert {signature.name for signature in saved_model.signatures} == set(loaded.signatures)
    for signature in saved_model.signatures:
        function = loaded.signatures[signature.name]
        assert [t.name for t in signature.outputs] == sorted(function.structured_outputs)
        for tensor in signature.outputs:
            spec = function.structured_outputs[tensor.name]
            assert (tensor.dtype, list(tensor.shape)) == (spec.dtype.name, spec.shape.as_list())
    assert saved_model.parameters == exported.model.count_params()
    # 4 of 5x5 on a 14x12 image in steps of 2; 4 -> 6; four pixels and six products; 72 -> 4.
    localisation = 2 * (4 * 5 * 4 * 25 + 4 * 6)
    warp = 2 * (72 * 4 + 72 * 6)
    assert _only(saved_model, "localize").flops_per_image == localisation
    assert _only(saved_model, "rectify").flops_per_image == localisation + warp
    everything = localisation + warp + 2 * 72 * 4
    assert _only(saved_model, "serving_default").flops_per_image == everything
    for signature in (_only(saved_model, "serving_default"), _only(saved_model, "serving_bytes")):
        (sampler,) = signature.samplers
        assert (sampler.transform, sampler.kernel, sampler.padding) == (
            *("affine", "bilinear", "zeros"),
        )
        assert sampler.samples == (8, 9, 1)
    assert not _only(saved_model, "localize").samplers
    (sampler,) = onnx_file.signatures[0].samplers
    assert (sampler.kernel, sampler.samples) == ("bilinear", (8, 9, 1))
    # A sampler of points has their matrix products in nodes of their own, or in none.
    flops = onnx_file.signatures[0].flops_per_image
    assert flops is not None
    assert everything - 2 * 72 * 6 <= flops <= everything


def test_what_changed_since_the_export(exported, tmp_path):
    folder = shutil.copytree(exported.version_dir, tmp_path / "1")
    with (folder / "variables" / "variables.index").open("ab") as file:
        file.write(b"x")
    (notice,) = inspect_model(folder).warnings
    assert notice.code == "changed"
    assert "variables/variables.index" in notice.text


def test_keras_file_and_several_samplers(classifier, tmp_path):
    model = classifier("projective", kernel="bicubic", padding="reflection", align_corners=True)
    model.save(tmp_path / "model.keras")
    (file,) = inspect_model(tmp_path / "model.keras").files
    assert file.kind == "keras"
    assert file.parameters == model.count_params()
    (signature,) = file.signatures
    (sampler,) = signature.samplers
    assert sampler.transform == "projective"
    assert (sampler.kernel, sampler.padding) == ("bicubic", "reflection")
    assert sampler.align_corners is True
    products = 4 * 5 * 4 * 25 + 4 * 8 + 72 * 16 + 72 * 9 + 72 * 4
    assert signature.flops_per_image == 2 * products


def test_two_samplers(two_transformers, tmp_path):
    function = tf.function(
        lambda images: {"logits": two_transformers(images, training=False)},
        input_signature=[tf.TensorSpec([None, 14, 12, 1], tf.float32, name="images")],
    )
    tf.saved_model.save(two_transformers, str(tmp_path / "two"), signatures=function)
    (file,) = inspect_model(tmp_path / "two").files
    samplers = _only(file, "serving_default").samplers
    assert [(s.transform, s.kernel, s.samples) for s in samplers] == [
        ("affine", "bilinear", (11, 10, 1)),
        ("attention", "bicubic", (6, 6, 1)),
    ]


def test_arithmetic_is_what_tensorflow_counts(tmp_path):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 10, 3))
    values = keras.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(inputs)
    values = keras.layers.DepthwiseConv2D(3, use_bias=False)(values)
    values = keras.layers.Conv2DTranspose(4, 2, strides=2, use_bias=False)(values)
    values = keras.layers.Dense(5, use_bias=False)(keras.layers.Flatten()(values))
    model = keras.Model(inputs, values)
    model.export(tmp_path / "model", verbose=False)
    (file,) = inspect_model(tmp_path / "model").files
    spec = tf.TensorSpec([1, 12, 10, 3])
    graph = tf.function(model).get_concrete_function(spec).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    counted = tf.compat.v1.profiler.profile(graph, options=options).total_float_ops
    assert counted > 10000
    assert _only(file, "serving_default").flops_per_image == counted


def test_custom_operations(tmp_path):
    if not native.is_available():
        pytest.skip("needs the native sampler")
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None, 9, 8, 3]), tf.TensorSpec([None, 6, 5, 2])])
    def sample(images, warp):
        return {"samples": native.operations().addons_resampler(images, warp)}

    tf.saved_model.save(module, str(tmp_path / "addons"), signatures=sample)
    (file,) = inspect_model(tmp_path / "addons").files
    assert codes(file) == {"addons_resampler", "custom_operations"}
    (sampler,) = _only(file, "serving_default").samplers
    assert (sampler.operation, sampler.samples) == ("Addons>Resampler", (6, 5, 3))


def test_compiled_functions(tmp_path):
    @tf.function(jit_compile=True)
    def doubled(images):
        return 2.0 * images

    @tf.function(input_signature=[tf.TensorSpec([None, 3])])
    def serve(images):
        return {"answer": doubled(images)}

    tf.saved_model.save(tf.Module(), str(tmp_path / "model"), signatures=serve)
    assert codes(inspect_model(tmp_path / "model").files[0]) == {"jit_compile"}


def test_gathers_in_a_saved_model(tmp_path):
    @tf.function(input_signature=[tf.TensorSpec([9, 8]), tf.TensorSpec([5, 2], tf.int32)])
    def serve(image, where):
        return {"answer": tf.add_n([tf.gather_nd(image, where + i) for i in range(4)])}

    tf.saved_model.save(tf.Module(), str(tmp_path / "model"), signatures=serve)
    assert codes(inspect_model(tmp_path / "model").files[0]) == {"gathers"}


def _damage(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def test_nothing_there(tmp_path):
    with pytest.raises(ModelError, match=r"`path` must be .*, but there is nothing at"):
        inspect_model(tmp_path / "model.onnx")


def test_other_file(tmp_path):
    (tmp_path / "model.txt").write_text("x")
    with pytest.raises(ModelError, match=r"but `.*model.txt` ends in '.txt'"):
        inspect_model(tmp_path / "model.txt")


def test_empty_folder(tmp_path):
    with pytest.raises(ModelError, match="has no model in it"):
        inspect_model(tmp_path)
    (tmp_path / "3").mkdir()
    with pytest.raises(ModelError, match="Its versions are 3: name one of them"):
        inspect_model(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x0a"])
def test_no_onnx_file(content, tmp_path):
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"`.*model.onnx` must be an ONNX file"):
        inspect_model(tmp_path / "model.onnx")


def test_truncated_files(exported, classifier, tmp_path):
    for name, message in (("model.onnx", "an ONNX file"), ("saved_model.pb", "a SavedModel")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_bytes((exported.version_dir / name).read_bytes())
        with pytest.raises(ModelError, match=f"must be {message}"):
            inspect_model(_damage(folder / name).parent)
    classifier().save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match=r"`.*model.keras` must be a Keras model"):
        inspect_model(_damage(tmp_path / "model.keras"))


def test_changed_bytes_are_no_crash(exported, tmp_path, rng):
    """Whatever a damaged file says, it is read or refused."""
    refused = []
    for name, count in (("model.onnx", 60), ("saved_model.pb", 20)):
        content = np.frombuffer((exported.version_dir / name).read_bytes(), np.uint8)
        for _ in range(count):
            changed = content.copy()
            changed[rng.integers(len(content), size=4)] = rng.integers(256, size=4)
            (tmp_path / name).write_bytes(changed.tobytes())
            try:
                inspect_model(tmp_path / name)
            except ModelError as error:
                refused.append(str(error))
    assert len(refused) > 10
    assert all(str(tmp_path) in text and "\n" not in text for text in refused)


def test_subclassed_keras_model(tmp_path):
    class Unit(keras.Model):
        def __init__(self, **options):
            super().__init__(**options)
            self.dense = keras.layers.Dense(3)

        def call(self, images):
            return self.dense(images)

    with keras.saving.custom_object_scope({"Unit": Unit}):
        model = Unit()
        model(np.zeros((1, 5), np.float32))
        model.save(tmp_path / "model.keras")
        (file,) = inspect_model(tmp_path / "model.keras").files
    assert file.parameters == 5 * 3 + 3
    assert file.signatures == ()


def test_what_a_model_takes_and_means_is_shown(tmp_path):
    for make, task, takes, classes in (
        (handmade.regression, "regression", _NORMALISED, ""),
        (handmade.multilabel, "multilabel", _BGR, "4"),
        (handmade.dense, "dense", "float32 [?, ?, ?, 3], NHWC, rgb, 0..1", ""),
    ):
        found = inspect_model(make(tmp_path / task).path).provenance
        assert found["task"] == task
        assert found["input images"] == takes
        assert found.get("classes", "") == classes
    assert (
        inspect_model(tmp_path / "multilabel").provenance["class names"] == "sky, sea, sand, snow"
    )
    unknown = handmade.RGB.model_copy(update={"value_range": None})
    found = inspect_model(handmade.softmax(tmp_path / "unknown", unknown).path).provenance
    assert found["input images"] == "float32 [?, 6, 5, 3], NHWC, rgb, range unknown"


_NORMALISED = (
    "float32 [?, 6, 5, 3], NHWC, rgb, 0..1, mean 0.485 0.456 0.406, std 0.229 0.224 0.225, "
    "center_crop"
)
_BGR = "float32 [?, 3, 6, 5], NCHW, bgr, -1..1, letterbox"
