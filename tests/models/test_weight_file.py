"""Weights from files: of the network inside, of the backbone, of a whole model, and of others."""

from pathlib import Path

import keras
import numpy as np
import pytest

from stn_tf.errors import ConfigError, ModelError
from stn_tf.models import build_classifier, choose_backbone
from stn_tf.models.backbone import build_backbone
from stn_tf.models.weight_file import load_weight_file

SHAPE = (32, 32, 3)


def small(classes: int = 3) -> keras.Model:
    return build_classifier(SHAPE, classes, backbone="small", weights="none")


def assert_equal(one: keras.Model, other: keras.Model) -> None:
    for first, second in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_keras_file_of_a_model_with_a_backbone(tmp_path: Path) -> None:
    model, path = small(), tmp_path / "model.keras"
    model.save(path)
    lines: list[str] = []
    # Another number of classes, and of images, needs no other backbone.
    warm = build_classifier(
        SHAPE, 7, backbone="small", weights=str(path), transformers=1, notify=lines.append
    )
    assert_equal(warm.get_layer("backbone"), model.get_layer("backbone"))
    assert lines == [f"localisation=salient, because weights={path}."]


@pytest.mark.parametrize("name", ["backbone.weights.h5", "backbone.h5", "backbone.keras"])
def test_file_of_a_backbone(tmp_path: Path, name: str) -> None:
    backbone, path = small().get_layer("backbone"), tmp_path / name
    (backbone.save_weights if ".weights." in name else backbone.save)(path)
    other = small().get_layer("backbone")
    load_weight_file(other, path)
    assert_equal(other, backbone)


def test_file_of_kerass_own_network(tmp_path: Path) -> None:
    network = keras.applications.MobileNet(include_top=False, weights=None, input_shape=SHAPE)
    for name in ("theirs.weights.h5", "theirs.h5"):
        path = tmp_path / name
        (network.save_weights if ".weights." in name else network.save)(path)
        choice = choose_backbone("mobilenet", str(path))
        assert choice.pretrained
        assert_equal(build_backbone(choice, SHAPE, 3), network)


def test_exception_raised(tmp_path: Path) -> None:
    backbone = small().get_layer("backbone")
    other = tmp_path / "other.keras"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="dense")], name="other").save(
        other
    )
    with pytest.raises(ModelError, match=r"must be of this backbone, .* 'other' has 2 of other"):
        load_weight_file(backbone, other)
    broken = tmp_path / "broken.keras"
    broken.write_bytes(b"PK nothing")
    with pytest.raises(ModelError, match=r"broken\.keras cannot be loaded: "):
        load_weight_file(backbone, broken)
    for name in ("broken.h5", "broken.weights.h5"):
        path = tmp_path / name
        path.write_bytes(b"nothing")
        with pytest.raises(ModelError, match=r"are not those of this .*-parameter backbone"):
            load_weight_file(backbone, path)
    classifier = tmp_path / "classifier.weights.h5"
    small().save_weights(classifier)
    with pytest.raises(ModelError, match=r"are not those of .* Save them with model\.get_layer"):
        load_weight_file(backbone, classifier)


def test_exception_raised_by_names() -> None:
    with pytest.raises(ConfigError, match=r"must be a file that exists, but there is no gone\.h5"):
        choose_backbone("small", "gone.h5")
    with pytest.raises(ConfigError, match=r"must be auto, imagenet, none or a file .* 'best'"):
        choose_backbone("small", "best")
    with pytest.raises(ConfigError, match=r"but for small it is 'lite\.pth'"):
        choose_backbone("small", "lite.pth")
    with pytest.raises(ConfigError, match=r"`backbone` must be named where .* auto for x\.keras"):
        choose_backbone("auto", "x.keras")
    with pytest.raises(ConfigError, match="there are no ImageNet weights, but it is imagenet"):
        choose_backbone("small", "imagenet")
    with pytest.raises(ConfigError, match=r"must be auto or one of .*VGG16.* but it is 'alexnet'"):
        choose_backbone("alexnet")
