"""Which sampler computes where."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import stn_tf
from stn_tf.sampling import choice

IMAGES, GRID = tf.ones([1, 4, 4, 1]), tf.zeros([1, 2, 2, 2])


@pytest.fixture(autouse=True)
def _no_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(choice.VARIABLE, raising=False)


def operations_in(function: tf.types.experimental.ConcreteFunction) -> set[str]:
    definition = function.graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    return {node.op for node in nodes}


def trace(**options: bool) -> set[str]:
    function = tf.function(lambda i, g: stn_tf.grid_sample(i, g), **options)
    return operations_in(function.get_concrete_function(IMAGES, GRID))


def test_eager_calls_are_native() -> None:
    assert choice.use_native(IMAGES, GRID)
    with stn_tf.native_sampler(False):
        assert not choice.use_native(IMAGES, GRID)
    assert choice.use_native(IMAGES, GRID)


def test_graphs_hold_stock_operations_unless_asked() -> None:
    assert "StnTf>GridSample" not in trace()
    with stn_tf.native_sampler():
        assert "StnTf>GridSample" in trace()
        with stn_tf.native_sampler(False):
            assert "StnTf>GridSample" not in trace()


@pytest.mark.parametrize("wish", ["native", "portable"])
def test_the_environment_variable(wish: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(choice.VARIABLE, wish)
    assert choice.use_native(IMAGES, GRID) == (wish == "native")
    assert ("StnTf>GridSample" in trace()) == (wish == "native")
    with choice.preferred_sampler():
        assert ("StnTf>GridSample" in trace()) == (wish == "native")


def test_an_unknown_value_of_the_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(choice.VARIABLE, "fast")
    with pytest.raises(ValueError, match=r"STN_TF_SAMPLER must be one of .*'fast'"):
        stn_tf.grid_sample(IMAGES, GRID)


def test_xla_is_always_portable() -> None:
    with stn_tf.native_sampler():
        assert "StnTf>GridSample" not in trace(jit_compile=True)
        compiled = tf.function(lambda i, g: stn_tf.grid_sample(i, g), jit_compile=True)
        np.testing.assert_array_equal(compiled(IMAGES, GRID), stn_tf.grid_sample(IMAGES, GRID))


def test_mixed_dtypes_without_a_kernel_are_portable() -> None:
    assert not choice.use_native(IMAGES, tf.cast(GRID, tf.float64))
    assert choice.use_native(tf.cast(IMAGES, tf.float16), GRID)
    assert stn_tf.grid_sample(IMAGES, tf.cast(GRID, tf.float64)).dtype == tf.float32


def model() -> keras.Model:
    inputs = keras.Input((8, 8, 1))
    crops = stn_tf.SpatialTransformer(keras.layers.Flatten(), "affine", (4, 4))(inputs)
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(crops)))


def test_what_keras_exports_holds_stock_operations(tmp_path: object) -> None:
    network = model()
    network(tf.ones([1, 8, 8, 1]))
    network.export(str(tmp_path), verbose=False)
    loaded = tf.saved_model.load(str(tmp_path))
    found = operations_in(loaded.signatures["serving_default"])
    assert not [name for name in found if ">" in name]


def step_of(network: keras.Model, images: np.ndarray, labels: np.ndarray) -> object:
    step = tf.function(lambda x, y: network.train_step((x, y)))
    return step.get_concrete_function(tf.constant(images), tf.constant(labels))


def test_fit_trains_alike_with_either_sampler(rng: np.random.Generator) -> None:
    images = rng.normal(size=(64, 8, 8, 1)).astype(np.float32)
    labels = rng.integers(0, 2, 64)
    losses = []
    for use in (True, False):
        keras.utils.set_random_seed(7)
        network = model()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        network.compile("adam", loss, jit_compile=False)
        with stn_tf.native_sampler(use):
            losses.append(network.fit(images, labels, epochs=3, verbose=0).history["loss"])
            assert ("StnTf>Warp" in operations_in(step_of(network, images, labels))) == use
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
