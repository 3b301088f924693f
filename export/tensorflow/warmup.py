"""Warm-up requests: a server replays them when it loads a version, before it takes traffic."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

# TensorFlow Serving looks for this name in the version directory; at most 1000 records.
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"


def write_warmup(
    version_dir: Path,
    model_name: str,
    examples: Mapping[str, Sequence[Mapping[str, np.ndarray]]],
) -> None:
    """Writes requests for every signature.

    Args:
        version_dir: The version directory.
        model_name: What the server calls the model.
        examples: For each signature batches of its inputs by name; texts are arrays of bytes.
    """
    path = version_dir / WARMUP_FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, batches in examples.items():
            for feeds in batches:
                request = predict_pb2.PredictRequest()
                request.model_spec.name = model_name
                request.model_spec.signature_name = signature
                for name, values in feeds.items():
                    value = tf.constant(list(values)) if values.dtype == object else values
                    request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
                log = prediction_log_pb2.PredictionLog(
                    predict_log=prediction_log_pb2.PredictLog(request=request)
                )
                writer.write(log.SerializeToString())
