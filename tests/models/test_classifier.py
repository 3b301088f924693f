"""Classifiers: what transformers show backbones, sharing, batch norm, precision, saving, errors."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from stn_tf.errors import ConfigError
from stn_tf.layers import SalientRegion, record_transformations, spatial_transformers
from stn_tf.models import build_classifier
from stn_tf.models.localisation import tiles
from tests.pairs import every_pair

SHAPE = (48, 48, 3)
CLASSES = 5
IMAGES = np.random.default_rng(0).uniform(size=(3, *SHAPE)).astype(np.float32)
# The paper's network for birds but for its Inception.
PAPER: dict[str, Any] = {
    "transformers": 2,
    "transformation": "attention",
    "crop_size": 24,
    "crop_scale": 0.5,
    "share_backbone": False,
    "whole_image": False,
    "localisation": "backbone",
}


def small(**options: Any) -> keras.Model:
    return build_classifier(SHAPE, CLASSES, backbone="small", weights="none", **options)


def names(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers if layer.name.startswith("backbone")]


def moved(model: keras.Model) -> keras.Model:
    """Takes the transformers away from where they start."""
    for layer in spatial_transformers(model):
        kernel = layer.regression.dense.kernel
        kernel.assign(np.random.default_rng(1).normal(size=kernel.shape) * 0.02)
    return model


def test_interface() -> None:
    model = small()
    assert model.input.name == "images"
    assert model.input.dtype == "float32"
    assert model.output_shape == (None, CLASSES)
    assert model.layers[-1].name == "logits"
    assert [layer.name for layer in model.layers] == [
        "images",
        "backbone",
        "pool",
        "dropout",
        "logits",
    ]
    assert isinstance(model.get_layer("backbone"), keras.Model)
    assert "dropout" not in [layer.name for layer in small(dropout=0.0).layers]


def test_one_transformer_starts_as_the_plain_classifier() -> None:
    plain, looking = small(), small(transformers=1, whole_image=False, localisation="small")
    for layer in ("backbone", "logits"):
        looking.get_layer(layer).set_weights(plain.get_layer(layer).get_weights())
    np.testing.assert_allclose(looking(IMAGES), plain(IMAGES), atol=1e-5)


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("whole", [True, False])
def test_features_are_those_of_crops_and_image(share: bool, whole: bool) -> None:
    model = moved(
        small(
            transformers=4,
            transformation="similarity",
            crop_size=(24, 32),
            share_backbone=share,
            whole_image=whole,
        )
    )
    assert len(names(model)) == (1 if share else 4 + whole)
    with record_transformations() as records:
        logits = model(IMAGES)
    (record,) = records
    assert record.crops.shape == (3, 4, 24, 32, 3)
    looks = [record.crops[:, index] for index in range(4)]
    if whole:
        # 48 rows are two to one, averaged; 48 columns are read at 32 places.
        rows = IMAGES.reshape(3, 24, 2, 48, 3).mean(axis=2)
        looks.insert(0, tf.image.resize(rows, (24, 32)))
    backbones = [model.get_layer(name) for name in names(model)]
    if share:
        backbones *= len(looks)
    features = [
        np.asarray(backbone(look)).mean(axis=(1, 2))
        for backbone, look in zip(backbones, looks, strict=True)
    ]
    kernel, bias = model.get_layer("logits").get_weights()
    expected = np.concatenate(features, axis=-1).astype(np.float64) @ kernel + bias
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_plain_call_does_not_train() -> None:
    # Both sides of the image are read between pixels, and dropout comes after.
    model = small(transformers=1, crop_size=(25, 31), dropout=0.5)
    np.testing.assert_array_equal(model(IMAGES), model(IMAGES, training=False))


def test_papers_network_for_birds() -> None:
    model = small(**PAPER)
    assert names(model) == ["backbone", "backbone_1"]
    (transformer,) = spatial_transformers(model)
    assert transformer.regression.constraints == {"scale": 0.5}
    localisation = transformer.localisation
    assert [layer.name for layer in localisation.layers] == [
        "images",
        "reduce",
        "localisation_backbone",
        "head",
    ]
    conv, _, dense = localisation.get_layer("head").layers
    assert (conv.filters, conv.kernel_size, dense.units) == (128, (1, 1), 128)
    # Two numbers for each crop, and they start in the left and the right half.
    assert transformer.regression.dense.units == 4
    with record_transformations() as records:
        model(IMAGES)
    expected = np.broadcast_to([[0.5, -0.5, 0.0], [0.5, 0.5, 0.0]], (3, 2, 3))
    np.testing.assert_allclose(records[0].theta, expected, atol=1e-6)
    np.testing.assert_allclose(records[0].crops[:, 1], IMAGES[:, 12:36, 24:], atol=1e-5)


@every_pair(
    transformation=["affine", "similarity", "attention"], count=[1, 2, 4], share=[True, False]
)
def test_crops_start_as_tiles_of_what_is_salient(
    transformation: str, count: int, share: bool
) -> None:
    keras.utils.set_random_seed(1)
    model = small(
        transformers=count,
        transformation=transformation,
        share_backbone=share,
        localisation="salient",
    )
    (transformer,) = spatial_transformers(model)
    if share:
        seen = model.get_layer("backbone")(IMAGES)
    else:
        seen = transformer.localisation.get_layer("localisation_backbone")(IMAGES)
    with record_transformations() as records:
        model(IMAGES)
    grid = np.asarray(records[0].grid).reshape(3, count, *SHAPE[:2], 2)
    regions = SalientRegion()(seen).numpy()
    assert regions[:, 2].min() < 1
    for image, (x, y, half) in enumerate(regions):
        for crop, (scale, right, down) in enumerate(tiles(count)):
            corner = grid[image, crop, 0, 0]
            side = scale * half * (1 - 1 / SHAPE[0])  # Centres of the outermost pixels.
            expected = x + right * half - side, y + down * half - side
            np.testing.assert_allclose(corner, expected, atol=1e-5)


def test_shared_backbone_learns_nothing_from_where_crops_lie() -> None:
    model = moved(small(transformers=2, localisation="backbone", whole_image=False, crop_size=24))
    (transformer,) = spatial_transformers(model)
    own = {variable.path for variable in transformer.localisation_variables}
    assert not [path for path in own if "backbone" in path]
    with tf.GradientTape() as tape:
        with record_transformations() as records:
            model(IMAGES, training=True)
        moves = tf.reduce_sum(records[0].theta ** 2)
    reached = tape.gradient(moves, model.trainable_variables)
    paths = {
        variable.path
        for variable, gradient in zip(model.trainable_variables, reached, strict=True)
        if gradient is not None
    }
    assert paths == own


@pytest.mark.parametrize("in_graph", [False, True])
def test_everything_learns(in_graph: bool) -> None:
    model = moved(small(transformers=2, crop_size=24, localisation="backbone"))

    def gradients() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(IMAGES, training=True)[:, 0] ** 2)
        return tape.gradient(loss, model.trainable_variables)

    found = (tf.function(gradients) if in_graph else gradients)()
    assert all(np.all(np.isfinite(gradient)) for gradient in found)
    assert model.trainable_variables


def batch_norms(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    layers = model.get_layer("backbone")._flatten_layers()
    return [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]


def test_batch_norm(tmp_path: Path) -> None:
    lines: list[str] = []
    scratch = small(notify=lines.append)
    assert lines == ["batch_norm=train, because the backbone starts from scratch."]
    path = tmp_path / "model.keras"
    scratch.save(path)
    options: dict[str, Any] = {"backbone": "small", "weights": str(path)}
    frozen = build_classifier(SHAPE, CLASSES, **options)
    learning = build_classifier(SHAPE, CLASSES, batch_norm="train", **options)
    for model, learns in ((scratch, True), (frozen, False), (learning, True)):
        assert {layer.trainable for layer in batch_norms(model)} == {learns}
        # Replicas would drift apart otherwise.
        assert {layer.synchronized for layer in batch_norms(model)} == {learns}
        before = model.get_layer("backbone").get_weights()
        model(IMAGES, training=True)
        after = model.get_layer("backbone").get_weights()
        same = all(map(np.array_equal, before, after))
        assert same is not learns


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy: str) -> None:
    try:
        keras.config.set_dtype_policy(policy)
        model = small(transformers=2, crop_size=24, localisation="backbone")
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("backbone").output.dtype == policy.removeprefix("mixed_")
    with record_transformations() as records:
        logits = model(IMAGES)
    assert logits.dtype == records[0].theta.dtype == tf.float32
    full = small(transformers=2, crop_size=24, localisation="backbone")
    full.set_weights(model.get_weights())
    np.testing.assert_allclose(logits, full(IMAGES), atol=0.05 * float(np.abs(logits).max()))


@pytest.mark.parametrize(
    "options",
    [{"transformers": 1, "transformation": "affine", "localisation": "small"}, PAPER],
    ids=["small", "paper"],
)
def test_saves_and_loads(tmp_path: Path, options: dict[str, Any]) -> None:
    model = moved(small(**options))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(IMAGES), model(IMAGES))
    assert len(loaded.weights) == len(model.weights)
    assert len(loaded.trainable_variables) == len(model.trainable_variables)


def test_loads_in_a_fresh_process(tmp_path: Path, root: Path) -> None:
    model = moved(small(transformers=2, crop_size=24, localisation="backbone"))
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", IMAGES)
    np.save(tmp_path / "logits.npy", model(IMAGES))
    script = (
        "import sys, keras, numpy as np, stn_tf.layers\n"
        "model = keras.models.load_model(sys.argv[1] + '/model.keras')\n"
        "logits = model(np.load(sys.argv[1] + '/images.npy'))\n"
        "np.testing.assert_allclose(logits, np.load(sys.argv[1] + '/logits.npy'), atol=1e-6)\n"
        "assert 'stn_tf.models.classifier' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_empty_batch_and_grey() -> None:
    model = build_classifier(
        (32, 40, 1), 2, backbone="small", weights="none", transformers=2, crop_size=20
    )
    assert model(np.zeros((0, 32, 40, 1), np.float32)).shape == (0, 2)
    assert np.all(np.isfinite(model(np.ones((2, 32, 40, 1), np.float32))))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"transformation": "tps"},
            "`transformation` must be one of affine, similarity, attention",
        ),
        (
            {"localisation": "deep"},
            "`localisation` must be one of auto, small, backbone, salient, but it is",
        ),
        ({"batch_norm": "off"}, "`batch_norm` must be one of frozen, train, but it is 'off'"),
        ({"dropout": 1.0}, "`dropout` must be at least 0 and below 1, but it is 1.0"),
        ({"transformers": -1}, "`transformers` must be a whole number of at least 0, but it is -1"),
        ({"crop_size": 24}, "need transformers, but `transformers` is 0"),
        ({"crop_scale": 0.5}, "need transformers, but `transformers` is 0"),
        ({"whole_image": False}, "need transformers, but `transformers` is 0"),
        ({"transformers": 1, "crop_scale": 1.5}, "`crop_scale` must be above 0 and at most 1"),
        (
            {"transformers": 1, "crop_size": (24, 0)},
            "`crop_size` must be height and width in whole",
        ),
        ({"transformers": 1, "crop_size": 2.5}, "`crop_size` must be height and width in whole"),
    ],
)
def test_exception_raised(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small(**options)


def test_exception_raised_by_shape_and_classes() -> None:
    with pytest.raises(ConfigError, match=r"`channels` must be 1 .* or 3 .*, but it is 4"):
        build_classifier((32, 32, 4), 2)
    with pytest.raises(ConfigError, match="`classes` must be a whole number of at least 2, but"):
        build_classifier((32, 32, 3), 1)
    with pytest.raises(ConfigError, match="`image_size` must be height and width in whole pixels"):
        build_classifier((32, 32.5, 3), 2)
    with pytest.raises(ConfigError, match="`image_size` must be height and width in whole pixels"):
        build_classifier((32, 3), 2)
