"""Which sampler computes where."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import stn_tf
from stn_tf.sampling import choice
from tests import reference

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
    assert not choice.use_native(tf.cast(IMAGES, tf.float64), GRID)
    assert choice.use_native(tf.cast(IMAGES, tf.float16), GRID)


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16, tf.float32, tf.float64])
def test_points_in_float64_are_native(dtype: tf.DType, rng: np.random.Generator) -> None:
    images = tf.cast(rng.normal(size=(1, 4, 5, 1)), dtype)
    theta = tf.constant(rng.normal(size=(1, 2, 3)))
    grid = stn_tf.affine_grid(theta, (2, 3))
    assert grid.dtype == theta.dtype == tf.float64
    expected = reference.grid_sample(
        tf.cast(images, tf.float64).numpy(), grid.numpy(), "bilinear", "zeros", False
    )

    @tf.function
    def call(images: tf.Tensor, theta: tf.Tensor, grid: tf.Tensor) -> list[tf.Tensor]:
        with stn_tf.native_sampler(), tf.GradientTape() as tape:
            tape.watch([theta, grid])
            shown = [stn_tf.grid_sample(images, grid), stn_tf.warp(images, theta, (2, 3))]
        return [*shown, *tape.gradient(shown, [theta, grid])]

    kinds = operations_in(call.get_concrete_function(images, theta, grid))
    assert {"StnTf>GridSample", "StnTf>Warp"} <= kinds
    *shown, to_theta, to_grid = call(images, theta, grid)
    assert to_theta.dtype == to_grid.dtype == tf.float64
    tolerance = {tf.float64: 1e-12, tf.float32: 1e-5}.get(dtype, 2e-2)
    for output in shown:
        assert output.dtype == dtype
        np.testing.assert_allclose(tf.cast(output, tf.float64), expected, atol=tolerance)


def compiled_model() -> tuple[keras.Model, np.ndarray, np.ndarray]:
    network = model()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile("sgd", loss, jit_compile=False)
    return network, np.ones((4, 8, 8, 1), np.float32), np.zeros(4, int)


@pytest.fixture
def _no_other_graphs() -> None:
    """Those of other tests that Keras or a cycle keeps alive."""
    choice._native_graphs.clear()
    choice._portable_graphs.clear()


@pytest.mark.usefixtures("_no_other_graphs")
def test_functions_that_were_traced_before_are_told_of() -> None:
    network, images, labels = compiled_model()
    network.fit(images, labels, verbose=0)
    with (
        pytest.warns(UserWarning, match=r"`native_sampler\(\)` changed nothing: .* inside") as told,
        stn_tf.native_sampler(),
    ):
        network.fit(images, labels, verbose=0)
    assert [warning.filename for warning in told] == [__file__]
    # The cure that the warning names.
    with stn_tf.native_sampler():
        network.make_train_function(force=True)
        network.fit(images, labels, verbose=0)


@pytest.mark.usefixtures("_no_other_graphs")
def test_no_false_alarms() -> None:
    """Warnings are errors."""
    with stn_tf.native_sampler():
        pass
    network, images, labels = compiled_model()
    for _ in range(3):  # Traced in the first block, and called in all of them.
        with stn_tf.native_sampler():
            network.fit(images, labels, verbose=0)
    network.predict(images, verbose=0)
    for _ in range(2):
        with stn_tf.native_sampler(False):
            network.predict(images, verbose=0)
        with choice.preferred_sampler():
            network.predict(images, verbose=0)
        with stn_tf.native_sampler():
            stn_tf.grid_sample(IMAGES, GRID)
        with stn_tf.native_sampler(), stn_tf.native_sampler(False):
            stn_tf.grid_sample(IMAGES, GRID)


@pytest.mark.usefixtures("_no_other_graphs")
def test_functions_that_are_gone_are_not_told_of() -> None:
    trace()
    with stn_tf.native_sampler():
        pass
    kept = tf.function(stn_tf.grid_sample)
    kept(IMAGES, GRID)
    with pytest.raises(RuntimeError, match="of the user's"), stn_tf.native_sampler():
        raise RuntimeError("of the user's")
    with pytest.warns(UserWarning, match="changed nothing"), stn_tf.native_sampler():
        kept(IMAGES, GRID)


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
