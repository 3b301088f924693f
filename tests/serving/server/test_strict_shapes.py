"""Shapes that are not the signature's: left to the model, or refused with `--strict-shapes`."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from tests.serving.server.conftest import Server
from tests.serving.server.running import running


@pytest.fixture(scope="module")
def column_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Doubles `x` [N, 1] and adds `y`, of which nothing but the type is known."""
    module = tf.Module()
    module.double = tf.function(
        lambda x, y: {"z": x + x + y},
        input_signature=[
            tf.TensorSpec([None, 1], tf.float32, "x"),
            tf.TensorSpec(None, tf.float32, "y"),
        ],
    )
    out = tmp_path_factory.mktemp("columns") / "columns"
    tf.saved_model.save(module, str(out / "1"), {"serving_default": module.double})
    return out


@pytest.fixture(scope="module")
def lenient(column_path: Path) -> Iterator[Server]:
    with running(column_path) as found:
        yield found


@pytest.fixture(
    scope="module",
    params=[pytest.param(False, marks=pytest.mark.full), True],
    ids=["alone", "batched"],
)
def strict(request: pytest.FixtureRequest, column_path: Path) -> Iterator[Server]:
    with running(column_path, "--strict-shapes", *["--enable_batching"] * request.param) as found:
        yield found


def _predict(server: Server, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "columns"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(x))
    request.inputs["y"].CopyFrom(tf.make_tensor_proto(y))
    return tf.make_ndarray(server.predictions.Predict(request).outputs["z"])


X = np.float32([[1.0], [2.0]])
ZEROS = np.zeros((2, 1), np.float32)


@pytest.mark.slow
def test_shape_of_the_signature(lenient: Server, strict: Server) -> None:
    for server in (lenient, strict):
        np.testing.assert_array_equal(_predict(server, X, ZEROS), X * 2)
        # A rank that the signature leaves open may be any.
        np.testing.assert_array_equal(
            _predict(server, X, np.zeros((2, 1, 3), np.float32)).shape, (2, 2, 3)
        )


def test_other_shapes_are_left_to_the_model(lenient: Server) -> None:
    np.testing.assert_array_equal(_predict(lenient, X[:, 0], ZEROS), X * 2)
    status, answer = lenient.call(
        "/v1/models/columns:predict", {"inputs": {"x": [1.0, 2.0], "y": [[0.0], [0.0]]}}
    )
    assert (status, answer) == (200, {"outputs": [[2.0], [4.0]]})


@pytest.mark.parametrize(
    ("x", "shape"),
    [
        (X[:, 0], "[2]"),
        (np.zeros((2, 3), np.float32), "[2, 3]"),
        (X[None], "[1, 2, 1]"),
        (np.float32(1.0), "[]"),
    ],
)
def test_other_shapes_are_refused(strict: Server, x: np.ndarray, shape: str) -> None:
    message = (
        f"input x must have shape [-1, 1], but it has shape {shape}. Send that shape, or serve "
        "without --strict-shapes."
    )
    with pytest.raises(grpc.RpcError) as error:
        _predict(strict, x, ZEROS)
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert error.value.details() == message
    body = {"inputs": {"x": x.tolist(), "y": ZEROS.tolist()}}
    assert strict.call("/v1/models/columns:predict", body) == (400, {"error": message})
    np.testing.assert_array_equal(_predict(strict, X, ZEROS), X * 2)
