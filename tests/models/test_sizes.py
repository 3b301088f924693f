"""Every network at 28 to 448 pixels and 2 to 1,000 classes: its stated widths, or a refusal."""

import itertools

import keras
import numpy as np
import pytest

from stn_tf.errors import ConfigError
from stn_tf.models import BACKBONES, build_classifier, choose_backbone
from stn_tf.models import localisation as localisations
from stn_tf.models import small as smalls

SIZES = [*range(28, 449, 4), 225, 299, 331]
RECTANGLES = [(28, 448), (448, 28), (96, 160), (224, 448)]
CLASSES = [2, 3, 10, 37, 100, 200, 256, 257, 1000]


def convolutions(network: keras.Model) -> list[int]:
    layers = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
    found = [layer for layer in network._flatten_layers() if isinstance(layer, layers)]
    return [layer.output.shape[-1] for layer in found]


@pytest.mark.parametrize("size", [*((size, size) for size in SIZES), *RECTANGLES])
def test_small_is_never_narrow(size: tuple[int, int]) -> None:
    times, widths = smalls.halvings(size), smalls.widths(size)
    assert min(widths) >= smalls.LEAST_WIDTH
    assert widths == sorted(widths)
    # One width for each halving, and one for a stem that halves nothing.
    assert len(widths) - times == (1 if times < 4 else 0)
    final = [-(-side // 2**times) for side in size]
    assert min(final) >= 4
    if size[0] == size[1]:
        assert max(final) <= 8


@pytest.mark.parametrize("classes", CLASSES)
def test_small_has_features_for_all_classes(classes: int) -> None:
    assert smalls.features(classes) >= max(smalls.LEAST_FEATURES, classes)


@pytest.mark.parametrize("size", [*((size, size) for size in SIZES), *RECTANGLES])
def test_localisation_is_never_narrow(size: tuple[int, int]) -> None:
    pool, widths = localisations.localisation_sizes(size)
    assert len(widths) >= 2
    assert min(widths) >= localisations.LEAST_WIDTH
    final = [-(-(side // pool) // 2 ** len(widths)) for side in size]
    assert min(final) >= 2
    if size[0] == size[1]:
        assert 4 <= final[0] <= 8


@pytest.mark.parametrize(("size", "classes"), [(28, 2), (28, 1000), (448, 2), (448, 1000)])
def test_small_as_built(size: int, classes: int) -> None:
    model = build_classifier((size, size, 3), classes, backbone="small", transformers=1)
    network = model.get_layer("backbone")
    built = convolutions(network)
    assert min(built) == smalls.LEAST_WIDTH
    assert built[0] == smalls.widths((size, size))[0]
    assert built[-1] == smalls.features(classes) == model.get_layer("pool").output.shape[-1]
    assert network.output_shape[1:3] == (7, 7)
    localisation = model.get_layer("spatial_transformer").localisation
    assert convolutions(localisation) == localisations.localisation_sizes((size, size))[1]
    assert model.output_shape == (None, classes)


def test_every_backbone_is_built_or_refuses() -> None:
    # Keras's networks have fixed widths; what they refuse must be refused in our words.
    for name, size in itertools.product(BACKBONES, [28, 32, 48, 71, 75, 448]):
        choice = choose_backbone(name, "none", image_size=(size, size))
        if size < choice.least_size:
            rule = rf"`image_size` must be at least {choice.least_size} x {choice.least_size} "
            with pytest.raises(ConfigError, match=rule + f"for backbone={name}, but it is {size}"):
                build_classifier((size, size, 3), 5, backbone=name, weights="none")
    assert {name for name in BACKBONES if choose_backbone(name).least_size > 32} == {
        "InceptionResNetV2",
        "InceptionV3",
        "Xception",
    }


@pytest.mark.parametrize("name", ["efficientnet-lite0", "Xception", "MobileNetV2", "VGG16"])
def test_least_size_is_enough(name: str) -> None:
    least = choose_backbone(name).least_size
    model = build_classifier((least, least, 1), 3, backbone=name, weights="none")
    logits = model(np.zeros((1, least, least, 1), np.float32))
    assert np.all(np.isfinite(logits))
    assert min(convolutions(model.get_layer("backbone"))) >= 16


def test_too_small_for_anything() -> None:
    with pytest.raises(ConfigError, match=r"at least 16 x 16 for backbone=small, .* 12 x 40"):
        build_classifier((12, 40, 3), 5, backbone="small")
    with pytest.raises(ConfigError, match=r"at least 16 x 16 for localisation=small, .* 12 x 40"):
        build_classifier((12, 40, 3), 5, backbone="small", transformers=1, crop_size=16)
    with pytest.raises(ConfigError, match=r"`crop_size` must be at least 32 x 32 for backbone=eff"):
        build_classifier(
            (64, 64, 3), 5, backbone="efficientnet-lite0", transformers=1, crop_size=28
        )
