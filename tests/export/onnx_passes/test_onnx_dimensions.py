"""Names of dimensions: right, or ONNX Runtime confuses the memory of tensors."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf

import stn_tf
from stn_tf.export import OnnxOptions
from stn_tf.export.conversion.onnx_file import convert

IMAGES = [None, 4, 6, 2]
FORMS = ("dual", "standard", "custom")


def _converted(
    function: Callable, shapes: Sequence[Sequence[int | None]], form: str = "dual"
) -> tuple[onnx.ModelProto, dict[str, list]]:
    """The file, with inputs `x`, `y`, outputs `a`, `b`, `c`; and the dimensions of each."""
    specs = [tf.TensorSpec(shape) for shape in shapes]
    traced = tf.function(function, input_signature=specs, autograph=False).get_concrete_function()
    names = "abc"[: len(traced.outputs)]
    model = convert(traced, "xy"[: len(shapes)], names, OnnxOptions(sampler=form))
    values = (*model.graph.input, *model.graph.output)
    return model, {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in values
    }


def _check(model: onnx.ModelProto, function: Callable, *feeds: np.ndarray) -> None:
    """Runs two batches of different sizes in one session, which keeps its plan of memory."""
    options = onnxruntime.SessionOptions()
    options.register_custom_ops_library(stn_tf.native.onnxruntime_library_path())
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    for values in (feeds, [feed[::-1] for feed in feeds]):
        found = session.run(None, dict(zip("xy", values, strict=False)))
        for value, expected in zip(found, function(*values), strict=True):
            assert value.shape == tuple(expected.shape)
            np.testing.assert_allclose(value, expected, atol=1e-5)


def _random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def test_a_flattened_output_is_no_batch():
    def function(x: tf.Tensor) -> list[tf.Tensor]:
        # Tensors of one batch before and after the flat one, whose memory it might get.
        flat = tf.reshape(tf.nn.relu(x) * 2.0, [-1])
        return [tf.exp(tf.sin(flat)), tf.reduce_sum(tf.cos(x), [1, 2, 3])]

    model, dims = _converted(function, [IMAGES])
    assert dims == {"x": ["batch", 4, 6, 2], "a": ["a_dim_0"], "b": ["batch"]}
    for count in (1, 2, 7):
        _check(model, function, _random(count, 4, 6, 2))


def test_scalars_and_what_is_not_one_for_each_image():
    def function(x: tf.Tensor) -> list[tf.Tensor]:
        return [tf.reduce_mean(x), tf.concat([x, x], axis=0), tf.zeros([5]) + tf.reduce_sum(x)]

    model, dims = _converted(function, [IMAGES])
    assert dims["a"] == []
    assert dims["b"] == ["b_dim_0", 4, 6, 2]
    assert dims["c"] == [5]
    for count in (1, 3):
        _check(model, function, _random(count, 4, 6, 2))


def test_layers_keep_the_batch_through_reshapes():
    def function(x: tf.Tensor) -> list[tf.Tensor]:
        flat = tf.reshape(x, [-1, 48])
        dynamic = tf.reshape(x, tf.stack([tf.shape(x)[0], 24, 2]))
        return [flat, tf.argmax(flat, axis=1), dynamic]

    model, dims = _converted(function, [IMAGES])
    assert dims["a"] == ["batch", 48]
    assert dims["b"] == ["batch"]
    assert dims["c"] == ["batch", 24, 2]
    for count in (1, 4):
        _check(model, function, _random(count, 4, 6, 2))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("transform", ["affine", "projective", "tps"])
def test_crops_have_the_batch_of_their_images(transform, form):
    def function(x: tf.Tensor) -> list[tf.Tensor]:
        identity = stn_tf.identity(transform)
        theta = identity + 0.01 * tf.reshape(
            tf.reduce_sum(x, [1, 2, 3]), [-1] + [1] * identity.ndim
        )
        return [stn_tf.warp(x, theta, (3, 5), transform=transform)]

    model, dims = _converted(function, [IMAGES], form)
    assert dims == {"x": ["batch", 4, 6, 2], "a": ["batch", 3, 5, 2]}
    for count in (1, 3):
        _check(model, function, _random(count, 4, 6, 2))


@pytest.mark.parametrize("count", [1, 3])
def test_a_fixed_batch_stays_a_number(count):
    def function(x: tf.Tensor) -> list[tf.Tensor]:
        return [stn_tf.grid_sample(x, tf.zeros([count, 2, 2, 2])), tf.reshape(x, [-1])]

    model, dims = _converted(function, [[count, 4, 6, 2]])
    assert dims == {"x": [count, 4, 6, 2], "a": [count, 2, 2, 2], "b": [count * 48]}
    _check(model, function, _random(count, 4, 6, 2))


def test_free_heights_and_widths():
    def function(x: tf.Tensor) -> list[tf.Tensor]:
        half = tf.nn.max_pool2d(x, 2, 2, "SAME")
        # As large as the image where its size is even.
        return [tf.nn.relu(x), half, tf.repeat(tf.repeat(half, 2, axis=1), 2, axis=2)]

    model, dims = _converted(function, [[None, None, None, 3]])
    assert dims["x"] == dims["a"] == ["batch", "height", "width", 3]
    assert dims["b"] == ["batch", "b_dim_1", "b_dim_2", 3]
    assert not {"height", "width"} & set(dims["c"])
    for shape in ((2, 4, 6, 3), (1, 7, 5, 3)):
        _check(model, function, _random(*shape))


def test_inputs_of_different_sizes():
    def function(x: tf.Tensor, y: tf.Tensor) -> list[tf.Tensor]:
        return [x * 2.0, y + tf.reduce_mean(x), tf.reshape(y, [-1])]

    model, dims = _converted(function, [[None, None, None, 1], [None, 4, None, None, 2]])
    assert dims["x"] == dims["a"] == ["batch", "x_height", "x_width", 1]
    assert dims["y"] == dims["b"] == ["batch", 4, "y_height", "y_width", 2]
    assert dims["c"] == ["c_dim_0"]
    _check(model, function, _random(2, 3, 5, 1), _random(2, 4, 5, 3, 2))


def test_a_sequence_has_no_height():
    model, dims = _converted(lambda x: [tf.nn.softmax(x)], [[None, None, 8]])
    assert dims == {"x": ["batch", "dim_1", 8], "a": ["batch", "dim_1", 8]}
    _check(model, lambda x: [tf.nn.softmax(x)], _random(2, 5, 8))
