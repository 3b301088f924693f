"""Warm-up requests: a server replays them when it loads a version, before it takes traffic."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

# TensorFlow Serving looks for this name in the version directory; at most 1000 records.
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
_BATCHES = (1, 2)


def write_warmup(
    version_dir: Path, model_name: str, examples: Mapping[str, Mapping[str, np.ndarray]]
) -> None:
    """Writes requests of one and two examples for every signature.

    Args:
        version_dir: The version directory.
        model_name: What the server calls the model.
        examples: For each signature its inputs by name, at least two examples of each;
            `image_bytes` gets images `[N, H, W, C]` in 0..1, which become PNG.
    """
    path = version_dir / WARMUP_FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, feeds in examples.items():
            for count in _BATCHES:
                request = predict_pb2.PredictRequest()
                request.model_spec.name = model_name
                request.model_spec.signature_name = signature
                for name, values in feeds.items():
                    some = values[:count]
                    value = tf.constant(encode_png(some)) if name == "image_bytes" else some
                    request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
                log = prediction_log_pb2.PredictionLog(
                    predict_log=prediction_log_pb2.PredictLog(request=request)
                )
                writer.write(log.SerializeToString())


def encode_png(images: np.ndarray) -> list[bytes]:
    """Encodes `[N, H, W, C]` images in 0..1 as PNG, rounded to 8 bits."""
    encoded = []
    for pixels in np.rint(np.clip(images, 0.0, 1.0) * 255.0).astype(np.uint8):
        file = io.BytesIO()
        Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, "PNG")
        encoded.append(file.getvalue())
    return encoded
