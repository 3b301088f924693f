"""Answers to requests that are one image file or one NumPy array, not JSON."""

import io
from typing import Any

import numpy as np

from stn_tf.data.image_file import original_pixels, read_header
from stn_tf.export.manifest import InputImages, Manifest
from stn_tf.serving.models.encoded_image import DECODED_CHANNELS, decode_image
from stn_tf.serving.models.store import ServedVersion
from stn_tf.serving.protocol import rest_body
from stn_tf.serving.protocol.signature import DEFAULT, TensorSpec
from stn_tf.serving.protocol.status import invalid
from stn_tf.serving.server.service import ModelService

_LOCALIZE = "localize"
_BYTES = "serving_bytes"


def array_answer(
    service: ModelService,
    held: ServedVersion,
    values: np.ndarray,
    signature: str,
    deadline: float,
) -> bytes:
    """Returns the predictions for an array.

    Args:
        service: What computes.
        held: The model.
        values: The array; its first dimension is the batch.
        signature: A signature with one input; empty for `serving_default`.
        deadline: In `time.monotonic` seconds.

    Raises:
        Status: If the request is wrong, cannot be computed, or its deadline has passed.
    """
    name = signature or DEFAULT
    inputs = {_input(held, name).name: values}
    outputs = service.compute(held, "Predict", name, inputs, (), deadline)
    return rest_body.predict_answer(outputs, rows=True)


def image_answer(
    service: ModelService, held: ServedVersion, data: bytes, signature: str, deadline: float
) -> bytes:
    """Returns the prediction for a JPEG or PNG file.

    The image is fitted as in training. Without a signature the answer holds the outputs of
    `serving_default`, the name of the class as `label`, and those of `localize`, where there is
    such a signature. `corners` are (x, y) in pixels of the image as it was sent, turned as its
    EXIF orientation says, where the transformer reads the image itself.

    A model that `stn-tf export` did not write gets the file as it is, in the signature
    `serving_bytes` unless another is asked for.

    `data` is the file; other arguments and errors are those of `array_answer`.
    """
    manifest = held.servable.manifest
    size = manifest.input if manifest is not None else None
    names = [signature] if signature else [DEFAULT]
    if size is None or size.channels not in DECODED_CHANNELS:
        names = [signature or _BYTES]
    elif not signature and _LOCALIZE in held.servable.signatures:
        names.append(_LOCALIZE)
    given = _input(held, names[0])
    if given.dtype == "string":
        value = np.array([data, None], object)[:1]
    elif size is None:
        raise invalid(
            f"An image as body is for models that stn-tf exported, or for signatures that "
            f"take encoded images, but {names[0]} takes {given.dtype}. Send JSON."
        )
    else:
        value = decode_image(data, size, "The body")[np.newaxis]
    outputs = service.compute_together(held, "Predict", names, {given.name: value}, deadline)
    if manifest is None or size is None:
        return rest_body.predict_answer(outputs, rows=True)
    if "corners" in outputs and _reads_images(manifest, size):
        header = read_header(io.BytesIO(data))
        outputs["corners"] = original_pixels(
            outputs["corners"], (header.height, header.width), (size.height, size.width)
        )
    return rest_body.predict_answer(outputs | _labels(manifest, outputs), rows=True)


def _input(held: ServedVersion, signature: str) -> TensorSpec:
    inputs = held.servable.signature(signature).inputs
    if len(inputs) != 1:
        raise invalid(
            f"An image or array as body is for signatures with one input, but {signature} takes "
            f"{', '.join(sorted(inputs))}. Send JSON."
        )
    (given,) = inputs.values()
    return given


def _reads_images(manifest: Manifest, size: InputImages) -> bool:
    """Whether the first transformer reads the image, and not feature maps."""
    sampler = manifest.samplers[0] if manifest.samplers else None
    return sampler is not None and sampler.input_size == (size.height, size.width)


def _labels(manifest: Manifest, outputs: dict[str, np.ndarray]) -> dict[str, Any]:
    if "class" not in outputs:
        return {}
    names = [manifest.classes[index].encode() for index in outputs["class"]]
    return {"label": np.array([*names, None], object)[:-1]}
