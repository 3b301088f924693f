"""What a model takes and gives: the formula of its input, its limits, its words."""

import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError

from stn_tf.errors import InputError, ModelError
from stn_tf.interface import InputSpec, ModelInterface, OutputSpec, numpy_dtype, words


def _spec(**changes: object) -> InputSpec:
    known = {
        "name": "photo",
        "dtype": "float32",
        "shape": (None, 5, 4, 3),
        "layout": "NHWC",
        "color_space": "rgb",
        "value_range": (0.0, 1.0),
    }
    return InputSpec.model_validate(known | changes)


CASES = {
    "unit": {},
    "bytes": {"dtype": "uint8", "value_range": (0, 255)},
    "symmetric": {"value_range": (-1, 1)},
    "deviation": {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
    "of bytes": {"value_range": (0, 255), "mean": (120.0,), "std": (50.0,)},
    "blue first": {"color_space": "bgr", "value_range": (0, 255), "mean": (1.0, 2.0, 3.0)},
    "channels first": {"layout": "NCHW", "shape": (None, 3, 5, 4)},
    "half": {"dtype": "float16"},
    "double": {"dtype": "float64", "value_range": (-1, 1)},
}


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_pixels_become_values_by_the_formula(changes):
    spec = _spec(**changes)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3)).astype(np.uint8)
    low, high = spec.value_range
    colours = pixels[..., ::-1] if spec.color_space == "bgr" else pixels
    expected = low + colours.astype(np.float64) / 255.0 * (high - low)
    expected = (expected - np.array(spec.mean)) / np.array(spec.std)
    if spec.layout == "NCHW":
        expected = np.moveaxis(expected, -1, 1)
    found = spec.from_pixels(pixels)
    assert found.dtype == numpy_dtype(spec.dtype)
    tolerance = 2e-3 if spec.dtype == "float16" else 2e-6
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
    back = spec.to_pixels(found)
    np.testing.assert_allclose(back, pixels, atol=0.2 if spec.dtype == "float16" else 1e-3)
    spec.check_range(found)


def test_bytes_stay_bytes():
    spec = _spec(**CASES["bytes"])
    pixels = np.arange(60, dtype=np.uint8).reshape(5, 4, 3)
    np.testing.assert_array_equal(spec.from_pixels(pixels), pixels)


@pytest.mark.parametrize(
    ("changes", "limits"),
    [
        ({}, (0.0, 1.0)),
        ({"value_range": None}, None),
        ({"mean": (0.5, 0.25, 0.5), "std": (0.5, 0.25, 0.25)}, (-2.0, 3.0)),
    ],
)
def test_limits(changes, limits):
    assert _spec(**changes).limits == limits


@pytest.mark.parametrize(
    ("values", "seen"),
    [([0.0, 1.5], "go from 0 to 1.5"), ([-0.5, 1.0], "from -0.5"), ([np.nan, 0.0], "include NaN")],
)
def test_values_outside_of_the_range(values, seen):
    with pytest.raises(InputError, match=rf"^`photo` must hold values in 0\.\.1.*{seen}.*Scale"):
        _spec().check_range(np.array(values))
    _spec().check_range(np.array([-0.005, 1.005]))
    _spec(value_range=None).check_range(np.array(values))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"value_range": None}, "range of the input `photo` is unknown.*--input-range"),
        ({"shape": (None, 5, 4, 4)}, "has 4 channels"),
        ({"color_space": None}, "has 3 channels, which no image file has"),
        ({"layout": None, "shape": (None, 7)}, r"no batch of images: it has shape \[\?, 7\]"),
    ],
)
def test_what_images_cannot_become(changes, text):
    spec = _spec(**changes)
    assert not spec.decodable
    with pytest.raises(ModelError, match=text):
        spec.from_pixels(np.zeros((5, 4, 3), np.uint8))
    with pytest.raises(ModelError, match=text):
        _ = ModelInterface(inputs=(spec,), outputs=()).image


def _interface(task: str, **meanings: str) -> ModelInterface:
    outputs = tuple(
        OutputSpec.model_validate(
            {"name": name, "dtype": "float32", "shape": (None, 3), "meaning": meaning}
        )
        for name, meaning in meanings.items()
    )
    return ModelInterface.model_validate({"inputs": (_spec(),), "outputs": outputs, "task": task})


def test_classes_that_are_chosen():
    scores = np.array([[0.1, 0.7, 0.2], [0.9, 0.5, 0.6], [0.1, 0.2, 0.3]])
    several = _interface("multilabel", shares="probabilities")
    assert several.chosen({"shares": scores}) == [[1], [0, 2, 1], []]
    one = _interface("classification", shares="probabilities", kind="class")
    assert one.chosen({"shares": scores, "kind": np.array([2, 1, 0])}) == [[2], [1], [0]]
    # The model uses the name of `class` for something else.
    bare = _interface("classification", shares="probabilities")
    assert bare.chosen({"shares": scores}) == [[1], [0], [2]]


def test_it_is_frozen_and_reads_what_a_later_version_adds():
    text = _interface("none").model_dump_json().replace('"task"', '"later": 1, "task"')
    interface = ModelInterface.model_validate_json(text)
    assert interface == _interface("none")
    with pytest.raises(ValidationError):
        interface.task = "dense"


def test_words_of_a_shape():
    assert words((None, 28, 28, 1)) == "[?, 28, 28, 1]"


def test_it_needs_no_tensorflow():
    code = "import sys, stn_tf.interface; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
