"""Answers to requests that are one image file or one NumPy array, not JSON."""

from typing import NoReturn

import numpy as np

from stn_tf.errors import ModelError
from stn_tf.export.publish.manifest import Manifest
from stn_tf.serving.models import answers
from stn_tf.serving.models.encoded_image import decode_image, file_pixels
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

    The image becomes the input as the model's interface says. Without a signature the answer holds
    the outputs of `serving_default` and those of `localize`, where the model has transformers.
    `label` is the name of the class, or `labels` those of all classes of 0.5 and more, highest
    first. `corners` are (x, y) in pixels of the image as it was sent, turned as its EXIF
    orientation says, where the transformer reads the image itself.

    A model that `stn-tf export` did not write gets the file as it is, in the signature
    `serving_bytes` unless another is asked for.

    `data` is the file; other arguments and errors are those of `array_answer`.
    """
    manifest = held.servable.manifest
    takes_images = manifest is not None and manifest.interface.takes_images
    names = [signature] if signature else [DEFAULT]
    if manifest is None or not takes_images:
        names = [signature or _BYTES]
        if manifest is not None and names[0] not in held.servable.signatures:
            _refuse(manifest)
    elif not signature and manifest.samplers and _LOCALIZE in held.servable.signatures:
        names.append(_LOCALIZE)
    given = _input(held, names[0])
    original = None
    if given.dtype == "string":
        value = np.array([data, None], object)[:1]
    elif manifest is None:
        raise invalid(
            f"An image as body is for models that stn-tf exported, or for signatures that "
            f"take encoded images, but {names[0]} takes {given.dtype}. Send JSON."
        )
    elif not takes_images:
        _refuse(manifest)
    else:
        image, original = decode_image(data, manifest.interface.image, "The body")
        value = image[np.newaxis]
    outputs = service.compute_together(held, "Predict", names, {given.name: value}, deadline)
    if manifest is not None:
        outputs = _told(manifest, outputs, original)
    return rest_body.predict_answer(outputs, rows=True)


def _input(held: ServedVersion, signature: str) -> TensorSpec:
    inputs = held.servable.signature(signature).inputs
    if len(inputs) != 1:
        raise invalid(
            f"An image or array as body is for signatures with one input, but {signature} takes "
            f"{', '.join(sorted(inputs))}. Send JSON."
        )
    (given,) = inputs.values()
    return given


def _refuse(manifest: Manifest) -> NoReturn:
    try:
        name = manifest.interface.image.name
    except ModelError as error:
        raise invalid(str(error)) from None
    raise AssertionError(f"`{name}` takes images.")


def _told(
    manifest: Manifest, outputs: dict[str, np.ndarray], original: tuple[int, int] | None
) -> dict[str, np.ndarray]:
    """What is said of one image: its outputs, the names of classes, and corners in its file."""
    interface, found = manifest.interface, dict(outputs)
    for transformer in answers.transformers(manifest):
        name = transformer.corners
        if original is not None and name in found and transformer.sampler.reads_images:
            found[name] = file_pixels(found[name], original, interface.image)
    for name, value in found.items():
        value = answers.plain(value)  # JSON has no float16.
        # What has no row for each image is of this one, as there is no other.
        found[name] = value if value.ndim and len(value) == 1 else value[np.newaxis]
    picked = answers.chosen(interface, outputs)
    if picked is not None:
        names = [answers.class_name(interface, index).encode() for index in picked[0]]
        if interface.task == "multilabel":
            found.setdefault("labels", _texts(names)[np.newaxis])
        else:
            found.setdefault("label", _texts(names))
    return found


def _texts(names: list[bytes]) -> np.ndarray:
    return np.array([*names, None], object)[:-1]
