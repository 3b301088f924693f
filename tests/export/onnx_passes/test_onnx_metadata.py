"""The interface in an ONNX file: the standard keys, and all of it."""

import json

import keras
import numpy as np
import onnx
import pytest

from stn_tf.export import onnx as write_onnx
from stn_tf.interface import ModelInterface


def _model(shape: tuple[int, ...] = (8, 8, 3), dtype: str = "float32") -> keras.Model:
    images = keras.Input(shape, dtype=dtype)
    features = keras.layers.Flatten()(keras.layers.Rescaling(2.0)(images))
    return keras.Model(images, keras.layers.Dense(3)(features))


def _metadata(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


@pytest.mark.parametrize(
    ("declared", "dtype", "channels", "keys"),
    [
        ({"input_range": (0, 1)}, "float32", 3, ("Rgb8", "Normalized_0_1")),
        ({"input_range": (-1, 1)}, "float32", 1, ("Gray8", "Normalized_1_1")),
        ({}, "uint8", 3, ("Rgb8", "NominalRange_0_255")),
        (
            {"input_range": (0, 255), "color_space": "bgr"},
            "float32",
            3,
            ("Bgr8", "NominalRange_0_255"),
        ),
        # What the standard cannot say is left out.
        ({"input_range": (0, 1), "input_std": 0.5}, "float32", 3, ("Rgb8", None)),
        ({}, "float32", 3, (None, None)),
    ],
)
def test_standard_keys(declared, dtype, channels, keys, tmp_path):
    made = write_onnx(_model((8, 8, channels), dtype), tmp_path / "model.onnx", **declared)
    found = _metadata(made)
    assert found.get("Image.BitmapPixelFormat") == keys[0]
    assert found.get("Image.NominalPixelRange") == keys[1]
    assert found.get("Image.ColorSpaceGamma") == (keys[0] and "SRGB")
    assert made == onnx.load(tmp_path / "model.onnx")


def test_the_whole_interface_and_the_classes(tmp_path):
    made = write_onnx(
        _model(), tmp_path / "model.onnx", classes=["ant", "bee", "dög"], input_range=(0, 1)
    )
    found = _metadata(made)
    assert json.loads(found["class_names"]) == ["ant", "bee", "dög"]
    interface = ModelInterface.model_validate_json(found["stn_tf.interface"])
    assert interface.class_names == ("ant", "bee", "dög")
    assert [spec.name for spec in interface.outputs] == [value.name for value in made.graph.output]
    (given,) = made.graph.input
    assert given.type.denotation == "IMAGE"
    assert [dim.denotation for dim in given.type.tensor_type.shape.dim] == [
        "DATA_BATCH",
        "DATA_FEATURE",
        "DATA_FEATURE",
        "DATA_CHANNEL",
    ]
    assert np.prod([dim.dim_value for dim in given.type.tensor_type.shape.dim[1:]]) == 192
