"""Operations that tf2onnx lacks, against NumPy."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from stn_tf.errors import ExportError
from stn_tf.export import OnnxOptions
from stn_tf.export.conversion.onnx_file import convert
from stn_tf.export.proof.runtimes.onnx_runtime import onnx_runtime

VALUES = np.array([[-0.0, 0.0, -1.5, 2.0], [-np.inf, np.inf, -1e-30, 1e-30]], np.float32)


def _converted(function, opset=None):
    spec = tf.TensorSpec([None, 4], name="x")
    concrete = tf.function(function, input_signature=[spec]).get_concrete_function()
    return convert(concrete, ["x"], ["y"], OnnxOptions(opset=opset))


@pytest.mark.parametrize("opset", [16, 18, 22])
def test_sign_bits(opset):
    model = _converted(lambda x: keras.ops.signbit(x), opset)
    found = onnx_runtime(model.SerializeToString())({"x": VALUES})["y"]
    np.testing.assert_array_equal(found, np.signbit(VALUES))


def test_argmax_tells_zeros_apart():
    zeros = np.array([[-0.0, 0.0, -0.0, 0.0], [-2.0, -0.0, -1.0, 0.0]], np.float32)
    model = _converted(lambda x: keras.ops.argmax(x, axis=-1))
    found = onnx_runtime(model.SerializeToString())({"x": zeros})["y"]
    np.testing.assert_array_equal(found, [1, 3])


def test_other_bits_are_refused():
    with pytest.raises(ExportError, match=r"reads the bits of numbers \(Bitcast\).*arithmetic"):
        _converted(lambda x: tf.bitwise.right_shift(tf.bitcast(x, tf.int32), 3))


def test_complementary_error_function():
    model = _converted(tf.math.erfc)
    found = onnx_runtime(model.SerializeToString())({"x": VALUES})["y"]
    expected = [[math.erfc(value) for value in row] for row in VALUES.tolist()]
    np.testing.assert_allclose(found, expected, atol=1e-6)
