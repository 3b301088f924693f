"""Warm-up requests, parsed and answered as a server would."""

import collections

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2


def test_every_request_is_answered(exported):
    path = exported.version_dir / "assets.extra" / "tf_serving_warmup_requests"
    signatures = tf.saved_model.load(str(exported.version_dir)).signatures
    sizes = collections.defaultdict(set)
    for record in tf.data.TFRecordDataset(str(path)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        assert request.model_spec.name == "small"
        feed = {name: tf.constant(tf.make_ndarray(v)) for name, v in request.inputs.items()}
        answers = signatures[request.model_spec.signature_name](**feed)
        for value in answers.values():
            assert np.all(np.isfinite(value))
            sizes[request.model_spec.signature_name].add(value.shape[0])
    names = ("serving_default", "localize", "rectify", "serving_bytes")
    assert sizes == {name: {1, 2} for name in names}


def test_bytes_are_real_png(exported, images):
    path = exported.version_dir / "assets.extra" / "tf_serving_warmup_requests"
    encoded: list[bytes] = []
    for record in tf.data.TFRecordDataset(str(path)):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        if request.model_spec.signature_name == "serving_bytes":
            encoded += list(tf.make_ndarray(request.inputs["image_bytes"]))
    # A request of one image, and one of two.
    pixels = [tf.io.decode_png(image).numpy() for image in encoded]
    np.testing.assert_array_equal(pixels, np.rint(images[:3] * 255))
