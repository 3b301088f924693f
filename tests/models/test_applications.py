"""The networks of Keras: found, given what they want, and their weights loaded or refused."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from stn_tf.models.applications import application, applications, preprocess

# One network of each module.
FAMILIES = {inspect.getmodule(function): name for name, function in applications().items()}


def test_finds_all_of_keras() -> None:
    found = set(applications())
    assert len(found) >= 38
    assert {"MobileNetV3Small", "EfficientNetV2B0", "ResNet50V2", "ConvNeXtTiny"} <= found
    assert all(hasattr(keras.applications, name) for name in found)


@pytest.mark.parametrize("name", FAMILIES.values())
def test_preprocessing_is_kerass(name: str, rng: np.random.Generator) -> None:
    module = inspect.getmodule(applications()[name])
    pixels = rng.integers(0, 256, (2, 5, 4, 3)).astype(np.float32)
    rgb = keras.Input((5, 4, 3))
    model = keras.Model(rgb, preprocess(name, rgb, imagenet=True))
    expected = module.preprocess_input(pixels.copy())  # type: ignore[union-attr]
    np.testing.assert_allclose(model(pixels / 255), expected, rtol=1e-5, atol=1e-4)


def test_efficientnet_from_a_file_is_as_downloaded() -> None:
    # What Keras does to weights that it downloads itself, in its own words.
    rgb = np.random.default_rng(0).uniform(size=(1, 2, 2, 3)).astype(np.float32)
    mean, variance = [0.485, 0.456, 0.406], np.array([0.229, 0.224, 0.225]) ** 2
    normalise = keras.layers.Normalization(mean=mean, variance=variance)
    expected = normalise(rgb) / np.sqrt([0.229, 0.224, 0.225])
    image = keras.Input((2, 2, 3))
    model = keras.Model(image, preprocess("EfficientNetB0", image, imagenet=False))
    np.testing.assert_allclose(normalise(model(rgb) / 255.0), expected, rtol=1e-4, atol=1e-5)


def test_grey_images_and_half_precision(rng: np.random.Generator) -> None:
    model = application("MobileNetV2", (32, 32, 1), imagenet=False)
    grey = rng.uniform(size=(1, 32, 32, 1)).astype(np.float32)
    network = model.layers[-1]
    expected = network(2 * np.repeat(grey, 3, axis=-1) - 1)
    np.testing.assert_allclose(model(grey), expected, atol=1e-5)
    assert model.get_layer("normalise").compute_dtype == "float32"


_DOWNLOAD = """
import sys
import keras, numpy as np
from stn_tf.errors import ConfigError
from stn_tf.models import build_classifier

# Keras takes what was downloaded before from its folder, and this file has no checksum.
network = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(32, 32, 3))
name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
network.save(sys.argv[1] + "/models/" + name)
lines = []
model = build_classifier((48, 40, 3), 4, backbone="mobilenet-v2", notify=lines.append)
built = model.get_layer("backbone").get_weights()
assert all(map(np.array_equal, built, network.get_weights()))
assert not any(
    layer.trainable for layer in model.get_layer("backbone")._flatten_layers()
    if isinstance(layer, keras.layers.BatchNormalization)
)
assert lines == [
    "weights=imagenet: Keras downloads those of MobileNetV2 once, into ~/.keras/models; "
    "weights=none trains from scratch."
], lines
try:
    build_classifier((32, 32, 3), 4, backbone="MobileNet", weights="imagenet")
except ConfigError as error:
    print(error)
"""


@pytest.mark.slow
def test_download(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    # No network is needed: the first file is there, and nobody listens on port 9.
    environment = {**os.environ, "KERAS_HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", _DOWNLOAD, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    message = (
        r"`weights` imagenet of MobileNet cannot be downloaded: URL fetch failure on https://\S+"
        r"mobilenet_1_0_224_tf_no_top\.h5: .* refused.*\. Put that file into ~/\.keras/models, or "
        r"set weights=FILE or weights=none\.\n"
    )
    assert re.fullmatch(message, done.stdout), done.stdout
