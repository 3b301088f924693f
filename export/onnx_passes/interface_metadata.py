"""The interface in the words of an ONNX file's metadata.

ONNX has standard keys for images (`Image.*`); what they cannot say is left out, and stands in
`stn_tf.interface` all the same.

Source: https://github.com/onnx/onnx/blob/main/docs/MetadataProps.md
"""

import json

import onnx

from stn_tf.interface import InputSpec, ModelInterface

_FORMATS = {"grayscale": "Gray8", "rgb": "Rgb8", "bgr": "Bgr8"}
_RANGES = {
    (0.0, 255.0): "NominalRange_0_255",
    (0.0, 1.0): "Normalized_0_1",
    (-1.0, 1.0): "Normalized_1_1",
}
_DENOTATIONS = {
    "NHWC": ("DATA_BATCH", "DATA_FEATURE", "DATA_FEATURE", "DATA_CHANNEL"),
    "NCHW": ("DATA_BATCH", "DATA_CHANNEL", "DATA_FEATURE", "DATA_FEATURE"),
}


def metadata(interface: ModelInterface) -> dict[str, str]:
    """Returns the entries that tell of an interface."""
    found = {"stn_tf.interface": interface.model_dump_json()}
    if interface.class_names:
        found["class_names"] = json.dumps(interface.class_names, ensure_ascii=False)
    images = [spec for spec in interface.inputs if spec.decodable]
    if len(images) == 1:
        found |= _image(images[0])
    return found


def denote(model: onnx.ModelProto, interface: ModelInterface) -> None:
    """Marks the inputs that are images, and what their dimensions are."""
    specs = {spec.name: spec for spec in interface.inputs if spec.is_image}
    for value in model.graph.input:
        spec = specs.get(value.name)
        if spec is None:
            continue
        assert spec.layout is not None
        value.type.denotation = "IMAGE" if spec.decodable else "TENSOR"
        dims = value.type.tensor_type.shape.dim
        for dim, denotation in zip(dims, _DENOTATIONS[spec.layout], strict=True):
            dim.denotation = denotation


def _image(spec: InputSpec) -> dict[str, str]:
    assert spec.color_space is not None
    found = {
        "Image.BitmapPixelFormat": _FORMATS[spec.color_space],
        "Image.ColorSpaceGamma": "SRGB",
    }
    if spec.limits in _RANGES:
        found["Image.NominalPixelRange"] = _RANGES[spec.limits]
    return found
