"""The layer inside users' models: with `fit` and without, saved and loaded, nested and shared."""

import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import stn_tf
from stn_tf.layers import (
    SpatialTransformer,
    ThetaRegression,
    Warp,
    record_transformations,
    spatial_transformers,
)

IMAGES = np.random.default_rng(0).uniform(size=(6, 12, 10, 2)).astype(np.float32)


def localisation() -> keras.Model:
    return keras.Sequential([keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Flatten()])


def moved(layer: SpatialTransformer) -> SpatialTransformer:
    """Takes the layer away from the identity, as training would."""
    layer(IMAGES)
    kernel = layer.regression.dense.weights[0]
    kernel.assign(np.random.default_rng(1).normal(size=kernel.shape) * 0.05)
    return layer


def test_starts_as_the_identity() -> None:
    np.testing.assert_array_equal(SpatialTransformer(localisation())(IMAGES), IMAGES)


def test_hands_out_theta_and_grid() -> None:
    layer = moved(
        SpatialTransformer(localisation(), output_size=(5, 6), return_theta=True, return_grid=True)
    )
    crops, theta, grid = layer(IMAGES)
    assert np.abs(theta - stn_tf.identity()).max() > 0.05
    np.testing.assert_allclose(grid, stn_tf.affine_grid(theta, (5, 6)), atol=1e-6)
    np.testing.assert_allclose(crops, stn_tf.grid_sample(IMAGES, grid), atol=1e-6)
    layer.return_theta = False
    assert [tuple(output.shape) for output in layer(IMAGES)] == [(6, 5, 6, 2), (6, 5, 6, 2)]


def test_parts_share_one_localisation() -> None:
    features = localisation()(IMAGES)
    theta = ThetaRegression("attention", initial_theta=[0.5, 0.5, 0.5])(features)
    window = Warp("attention", (6, 5))([IMAGES, theta])
    np.testing.assert_allclose(window, IMAGES[:, 6:, 5:], atol=1e-6)


def test_localisation_goes_on_from_features(tmp_path: Path) -> None:
    images = keras.Input(IMAGES.shape[1:])
    trunk = keras.layers.Conv2D(5, 3, strides=2, activation="relu", name="trunk")
    head = keras.Sequential([keras.layers.Conv2D(3, 1), keras.layers.Flatten()])
    layer = SpatialTransformer(head, "affine", (5, 6), crops=2, return_theta=True)
    model = keras.Model(images, layer(images, features=trunk(images)))
    kernel = layer.regression.dense.weights[0]
    kernel.assign(np.random.default_rng(1).normal(size=kernel.shape) * 0.05)
    crops, theta = model(IMAGES)
    assert crops.shape == (6, 2, 5, 6, 2)
    expected = layer.regression(head(trunk(IMAGES)))
    np.testing.assert_allclose(theta, expected, atol=1e-6)
    assert np.abs(theta - stn_tf.identity()).max() > 0.01
    np.testing.assert_array_equal(layer.theta(IMAGES, features=trunk(IMAGES)), theta)
    # The trunk is not the localisation's own.
    assert len(layer.localisation_variables) == 4
    with record_transformations() as records:
        model(IMAGES)
    np.testing.assert_array_equal(records[0].crops, crops)

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for output, again in zip(model(IMAGES), loaded(IMAGES), strict=True):
        np.testing.assert_array_equal(output, again)


def test_spatial_transformers_finds_at_any_depth() -> None:
    inner = SpatialTransformer(localisation(), name="inner")
    outer = SpatialTransformer(localisation(), name="outer")
    images = keras.Input(IMAGES.shape[1:])
    block = keras.Sequential([inner, keras.layers.Flatten()])
    model = keras.Model(images, block(outer(images)))
    assert {layer.name for layer in spatial_transformers(model)} == {"inner", "outer"}
    assert spatial_transformers(keras.Sequential([keras.layers.Dense(1)])) == []


@pytest.mark.parametrize("in_graph", [False, True])
def test_record_transformations(in_graph: bool) -> None:
    layers = [moved(SpatialTransformer(localisation(), name=name)) for name in ("one", "two")]
    model = keras.Sequential(layers)

    def thetas(images: tf.Tensor) -> list[tf.Tensor]:
        with record_transformations() as records:
            model(images)
        assert [record.layer.name for record in records] == ["one", "two"]
        return [record.theta for record in records]

    first, second = (tf.function(thetas) if in_graph else thetas)(IMAGES)
    np.testing.assert_allclose(first, layers[0].theta(IMAGES), atol=1e-6)
    np.testing.assert_allclose(second, layers[1].theta(layers[0](IMAGES)), atol=1e-5)


def test_localisation_variables() -> None:
    layer = moved(SpatialTransformer(localisation()))
    model = keras.Sequential([layer, keras.layers.Flatten(), keras.layers.Dense(2)])
    model(IMAGES)
    paths = [variable.path for variable in layer.localisation_variables]
    assert len(paths) == 4
    assert len(model.trainable_variables) == 6


def shift_task(count: int) -> tuple[np.ndarray, np.ndarray]:
    """A bright square in one of two shapes, at a random place."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 2, count)
    images = np.zeros((count, 16, 16, 1), np.float32)
    for image, label in zip(images, labels, strict=True):
        y, x = rng.integers(0, 9, 2)
        image[y : y + (7 if label else 3), x : x + (3 if label else 7)] = 1.0
    return images, labels


def test_learns_with_fit() -> None:
    keras.utils.set_random_seed(0)
    images, labels = shift_task(256)
    model = keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            SpatialTransformer(localisation(), "attention", (8, 8), name="look"),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    before = model.evaluate(images, labels, verbose=0)
    model.fit(images, labels, batch_size=64, epochs=8, verbose=0)
    assert model.evaluate(images, labels, verbose=0) < 0.5 * before
    theta = np.asarray(model.get_layer("look").theta(images))
    assert np.abs(theta - stn_tf.identity("attention")).max() > 0.1


def test_learns_without_fit() -> None:
    images, labels = shift_task(64)
    layer = SpatialTransformer(localisation(), output_size=(8, 8))
    head = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
    head(layer(images))
    optimizer = keras.optimizers.Adam(0.01)
    variables = [*layer.trainable_variables, *head.trainable_variables]

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = head(layer(images, training=True))
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    first = float(step())
    for _ in range(30):
        last = float(step())
    assert last < 0.7 * first


def test_saved_model_loads_in_a_fresh_process(tmp_path: Path, root: Path) -> None:
    images = keras.Input(IMAGES.shape[1:])
    layer = SpatialTransformer(
        localisation(),
        "tps",
        (7, 8),
        kernel="bicubic",
        padding="border",
        align_corners=True,
        transform_options={"control_points": 3, "regularisation": 0.1},
        constraints={"x0": 0.05, "y1": (-0.5, 0.5)},
    )
    model = keras.Model(images, layer(images))
    moved(layer)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", IMAGES)
    script = """
        import sys, keras, numpy, stn_tf.layers
        model = keras.models.load_model(sys.argv[1] + "/model.keras")
        images = numpy.load(sys.argv[1] + "/images.npy")
        numpy.save(sys.argv[1] + "/outputs.npy", numpy.asarray(model(images)))
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)], check=True, cwd=root
    )
    np.testing.assert_array_equal(np.load(tmp_path / "outputs.npy"), np.asarray(model(IMAGES)))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_halves_images_only(policy: str) -> None:
    layer = SpatialTransformer(
        localisation(), "affine", (6, 6), return_theta=True, return_grid=True, dtype=policy
    )
    crops, theta, grid = layer(IMAGES)
    assert (crops.dtype, theta.dtype, grid.dtype) == (policy[6:], "float32", "float32")


def test_functional_output_shape() -> None:
    layer = SpatialTransformer(localisation(), output_size=(5, 6), return_theta=True)
    crops, theta = layer(keras.Input(IMAGES.shape[1:]))
    assert crops.shape == (None, 5, 6, 2)
    assert theta.shape == (None, 2, 3)


def test_volumes() -> None:
    volumes = np.random.default_rng(0).uniform(size=(2, 4, 5, 6, 1)).astype(np.float32)
    layer = SpatialTransformer(keras.layers.Flatten(), "affine-3d", (3, 5, 6))
    assert layer(volumes).shape == (2, 3, 5, 6, 1)


def test_exception_raised() -> None:
    with pytest.raises(TypeError, match="`localisation` must be a Keras layer or model"):
        SpatialTransformer("cnn")
    with pytest.raises(ValueError, match="`output_size` must be \\(height, width\\) in pixels"):
        SpatialTransformer(localisation(), output_size=28)
    with pytest.raises(ValueError, match=r"must be \[N, H, W, C\] .* shape \[None, 4, 4, 4, 1\]"):
        SpatialTransformer(localisation())(keras.Input((4, 4, 4, 1)))
    with pytest.raises(ValueError, match="`crops` must be an integer of at least 1, but it is 0"):
        SpatialTransformer(localisation(), crops=0)
