"""Servables: signatures of an ONNX file and of a SavedModel, and what they refuse."""

import io
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from onnx import TensorProto, helper
from PIL import Image

from stn_tf.data.image_file import read_image
from stn_tf.errors import ModelError
from stn_tf.interface import numpy_dtype
from stn_tf.serving.models.saved_model_servable import read_signatures
from stn_tf.serving.models.servable import load_servable
from stn_tf.serving.protocol.signature import CLASSIFY, PREDICT, REGRESS, TensorSpec
from stn_tf.serving.protocol.status import Status
from tests.serving import handmade

ENGINES = ("onnx", "saved_model")


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image[..., 0]).save(file, "PNG")
    return file.getvalue()


def as_objects(values: list[bytes]) -> np.ndarray:
    found = np.empty(len(values), object)
    found[:] = values
    return found


@pytest.mark.parametrize("count", [0, 1, 5])
def test_engines_agree(model_dir: Path, images: np.ndarray, expected: dict, count: int) -> None:
    batch = images[:count].astype(np.float32) / 255.0
    onnx_servable, saved_model = (load_servable(model_dir / "1", engine) for engine in ENGINES)
    assert set(onnx_servable.signatures) == set(saved_model.signatures)
    for signature in ("serving_default", "localize", "rectify"):
        feeds = {"images": batch}
        ours = onnx_servable.run(signature, feeds)
        assert set(ours) == set(saved_model.signatures[signature].outputs)
        if count:  # TensorFlow 2.21 gets some shapes of empty batches wrong.
            theirs = saved_model.run(signature, feeds)
            for name, value in theirs.items():
                np.testing.assert_allclose(ours[name], value, atol=1e-4)
        for value in ours.values():
            assert len(value) == count
    logits = onnx_servable.run("serving_default", {"images": batch}, ["logits"])
    assert list(logits) == ["logits"]
    np.testing.assert_allclose(logits["logits"], expected["logits"][:count], atol=1e-4)
    for servable in (onnx_servable, saved_model):
        servable.close()


def test_signatures_of_both_engines_are_the_same(model_dir: Path) -> None:
    onnx_servable, saved_model = (load_servable(model_dir / "1", engine) for engine in ENGINES)
    for name, signature in onnx_servable.signatures.items():
        other = saved_model.signatures[name]
        assert signature.method == other.method == PREDICT
        assert dict(signature.inputs) == dict(other.inputs)
        for output, spec in signature.outputs.items():
            assert spec.dtype == other.outputs[output].dtype
    images = onnx_servable.signatures["serving_default"].inputs["images"]
    assert images == TensorSpec("images", "float32", (None, 14, 12, 1))
    assert read_signatures(model_dir / "1") == saved_model.signatures


def test_bytes_are_decoded_as_jobs_decode_them(model_dir: Path) -> None:
    rng = np.random.default_rng(2)
    encoded = [png(rng.integers(0, 256, (*size, 1), np.uint8)) for size in ((30, 20), (14, 12))]
    servable = load_servable(model_dir / "1")
    for some in (encoded, encoded[:1]):
        outputs = servable.run("serving_bytes", {"image_bytes": as_objects(some)})
        decoded = [read_image(io.BytesIO(one), (14, 12), 1) for one in some]
        batch = np.stack(decoded).astype(np.float32) / np.float32(255)
        wanted = servable.run("serving_default", {"images": batch})
        for name, value in wanted.items():
            np.testing.assert_array_equal(outputs[name], value)
    servable.close()


def test_bytes_that_are_no_image_exception_raised(model_dir: Path, images: np.ndarray) -> None:
    servable = load_servable(model_dir / "1")
    encoded = as_objects([png(images[0]), b"no image"])
    with pytest.raises(Status) as raised:
        servable.run("serving_bytes", {"image_bytes": encoded})
    assert raised.value.code == "INVALID_ARGUMENT"
    assert raised.value.message == (
        "`image_bytes[1]` cannot be decoded: no image file that can be read. "
        "Send a whole JPEG or PNG file."
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_wrong_requests_exception_raised(model_dir: Path, engine: str) -> None:
    servable = load_servable(model_dir / "1", engine)
    batch = np.zeros((1, 14, 12, 1), np.float32)
    for signature, feeds, outputs, code, text in (
        ("none", {"images": batch}, None, "FAILED_PRECONDITION", '"none" not found'),
        ("localize", {}, None, "INVALID_ARGUMENT", "Missing but required: {images}"),
        ("localize", {"images": batch}, ["logits"], "INVALID_ARGUMENT", "set {corners,theta}."),
        ("localize", {"images": batch.astype(float)}, None, "INVALID_ARGUMENT", "is float64"),
        ("localize", {"images": batch[:, 1:]}, None, "INVALID_ARGUMENT", "images"),
    ):
        with pytest.raises(Status, match=text) as raised:
            servable.run(signature, feeds, outputs)
        assert raised.value.code == code
    servable.close()


def test_onnx_needs_no_tensorflow(model_dir: Path, root: Path) -> None:
    script = (
        "import sys, numpy\n"
        "from stn_tf.serving.models.servable import load_servable\n"
        f"servable = load_servable({str(model_dir / '1')!r})\n"
        "images = numpy.zeros((1, 14, 12, 1), 'float32')\n"
        "assert set(servable.run('localize', {'images': images})) == {'theta', 'corners'}\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=root)


def test_onnx_without_manifest_has_one_signature(model_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    shutil.copy(model_dir / "1" / "model.onnx", tmp_path / "1")
    servable = load_servable(tmp_path / "1", threads=1)
    (signature,) = servable.signatures.values()
    names = {"logits", "probabilities", "class", "theta", "corners", "crops"}
    assert set(signature.outputs) == names
    assert servable.manifest is None


def test_onnx_strings(tmp_path: Path) -> None:
    value = [helper.make_tensor_value_info(n, TensorProto.STRING, ["N"]) for n in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", *zip(value))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "model.onnx")
    servable = load_servable(tmp_path)
    texts = as_objects(["dög".encode(), b""])
    assert list(servable.run("serving_default", {"x": texts})["y"]) == ["dög".encode(), b""]
    with pytest.raises(Status, match="must hold UTF-8"):
        servable.run("serving_default", {"x": as_objects([b"\xff"])})


def test_onnx_bfloat16(tmp_path: Path) -> None:
    """ONNX Runtime itself neither takes nor gives it as an array."""
    spec = handmade.RGB.model_copy(update={"dtype": "bfloat16"})
    output = handmade.OutputSpec(name="same", dtype="bfloat16", shape=spec.shape)
    interface = handmade.ModelInterface(inputs=(spec,), outputs=(output,), task="none")
    path = handmade.write(tmp_path / "1", interface, "same = Identity(images)")
    values = np.random.default_rng(0).normal(size=(2, 6, 5, 3)).astype(numpy_dtype("bfloat16"))
    found = load_servable(path).run("serving_default", {"images": values})["same"]
    assert found.dtype == values.dtype
    assert found.tobytes() == values.tobytes()


@pytest.mark.parametrize("location", ["../outside.bin", "/outside.bin", "link.bin"])
def test_onnx_data_outside_exception_raised(tmp_path: Path, location: str) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "outside.bin").write_bytes(bytes(8))
    (tmp_path / "1" / "link.bin").symlink_to(tmp_path / "outside.bin")
    weight = helper.make_tensor("w", TensorProto.FLOAT, [2], bytes(8), raw=True)
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in ("x", "y")]
    node = helper.make_node("Add", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", [value[0]], [value[1]], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "1" / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="outside of its folder"):
        load_servable(tmp_path / "1")


@pytest.mark.parametrize("name", ["model.onnx", "saved_model.pb"])
def test_damaged_file_exception_raised(model_dir: Path, tmp_path: Path, name: str) -> None:
    content = (model_dir / "1" / name).read_bytes()
    for number, part in enumerate((b"", b"\xff" * 99, content[: len(content) // 2])):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / name).write_bytes(part)
        with pytest.raises(ModelError, match="can load: ") as raised:
            load_servable(folder)
        assert "\n" not in str(raised.value)
        if name == "saved_model.pb":
            with pytest.raises(ModelError):
                read_signatures(folder)
    (tmp_path / "3").mkdir()
    with pytest.raises(ModelError, match="holds neither"):
        load_servable(tmp_path / "3")


def tensorflow_1_model(path: Path) -> None:
    """Half plus two, as TensorFlow 1 saved it: predict, classify and regress on examples."""
    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        examples = v1.placeholder(tf.string, [None], "examples")
        features = {"x": v1.FixedLenFeature([1], tf.float32)}
        x = v1.parse_example(examples, features)["x"]
        half = v1.Variable(0.5)
        y = tf.add(x * half, 2.0, "y")
        labels = tf.where(y > 3.0, tf.fill(tf.shape(y), "large"), tf.fill(tf.shape(y), "small"))
        session.run(v1.global_variables_initializer())
        module = v1.saved_model.signature_def_utils
        builder = v1.saved_model.Builder(str(path))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {
                "serving_default": module.predict_signature_def({"x": x}, {"y": y}),
                "sizes": module.classification_signature_def(examples, labels, y),
                "regress_x_to_y": module.regression_signature_def(examples, y),
            },
        )
        builder.save()


def example(value: float) -> bytes:
    feature = tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
    features = tf.train.Features(feature={"x": feature})
    return tf.train.Example(features=features).SerializeToString()


def test_tensorflow_1_signatures(tmp_path: Path) -> None:
    tensorflow_1_model(tmp_path / "1")
    servable = load_servable(tmp_path / "1", threads=1)
    methods = {name: found.method for name, found in servable.signatures.items()}
    assert methods == {
        "serving_default": PREDICT,
        "sizes": CLASSIFY,
        "regress_x_to_y": REGRESS,
    }
    examples = {"inputs": as_objects([example(1.0), example(4.0)])}
    found = servable.run("sizes", examples)
    assert found["classes"].tolist() == [[b"small"], [b"large"]]
    np.testing.assert_allclose(found["scores"], [[2.5], [4.0]])
    found = servable.run("regress_x_to_y", examples, ["outputs"])
    np.testing.assert_allclose(found["outputs"], [[2.5], [4.0]])
    # A client may send [N] where the signature says [N, 1].
    found = servable.run("serving_default", {"x": np.float32([2.0, 6.0])})
    np.testing.assert_allclose(found["y"], [[3.0], [5.0]])
    with pytest.raises(Status) as raised:
        servable.run("sizes", {"inputs": as_objects([b"no example"])})
    assert raised.value.code == "INVALID_ARGUMENT"
    servable.close()


def test_both_files_share_the_signatures(
    model_dir: Path, tmp_path: Path, images: np.ndarray
) -> None:
    tensorflow_1_model(tmp_path / "1")
    (tmp_path / "1" / "assets.extra").mkdir()
    shutil.copy(model_dir / "1" / "model.onnx", tmp_path / "1")
    servable = load_servable(tmp_path / "1")
    assert set(servable.signatures) == {"serving_default", "sizes", "regress_x_to_y"}
    batch = images[:2].astype(np.float32) / 255.0
    assert servable.run("serving_default", {"images": batch}, ["logits"])["logits"].shape == (2, 4)
    found = servable.run("sizes", {"inputs": as_objects([example(1.0)])}, ["classes"])
    assert found["classes"].tolist() == [[b"small"]]
    servable.close()
    assert set(load_servable(tmp_path / "1", "onnx").signatures) == {"serving_default"}
    alone = load_servable(tmp_path / "1", "saved_model")
    assert "x" in alone.signatures["serving_default"].inputs


def test_keras_saved_model_of_other_origin(tmp_path: Path) -> None:
    inputs = keras.Input((3,), name="x")
    model = keras.Model(inputs, keras.layers.Dense(2, name="y")(inputs))
    model.export(tmp_path / "1", verbose=False)
    servable = load_servable(tmp_path / "1")
    batch = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    (signature,) = (s for n, s in servable.signatures.items() if n == "serving_default")
    (name,) = signature.inputs
    (value,) = servable.run("serving_default", {name: batch}).values()
    np.testing.assert_allclose(value, model(batch), atol=1e-5)
