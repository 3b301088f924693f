"""Every property over transform x kernel x padding x corner convention of the layer.

`make test` runs every pair of choices, `make tests-full` all of them.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from onnx.reference import ReferenceEvaluator

from stn_tf.geometry import TRANSFORMS, get_transform
from stn_tf.layers import SpatialTransformer
from stn_tf.sampling import warp
from stn_tf.sampling.grid_sample import KERNELS, PADDINGS
from tests import reference
from tests.pairs import covering, parameters

SIZES = {2: (5, 6), 3: (3, 4, 5)}
OUTPUT_SIZES = {2: (4, 3), 3: (2, 3, 3)}
ONNX_MODES = {"bilinear": "linear", "nearest": "nearest", "bicubic": "cubic"}


@dataclasses.dataclass(frozen=True)
class Case:
    transform: str
    kernel: str
    padding: str
    align_corners: bool

    def __str__(self) -> str:
        corners = "corners" if self.align_corners else "edges"
        return f"{self.transform}-{self.kernel}-{self.padding}-{corners}"

    @property
    def dimensions(self) -> int:
        return get_transform(self.transform).dimensions

    @property
    def semantics(self) -> dict:
        return {
            "kernel": self.kernel, "padding": self.padding, "align_corners": self.align_corners
        }  # fmt: skip

    def images(self) -> np.ndarray:
        size = (3, *SIZES[self.dimensions], 2)
        return np.random.default_rng(7).uniform(-1, 1, size).astype(np.float32)

    def layer(
        self, output_size: tuple[int, ...] | None = None, **options: object
    ) -> SpatialTransformer:
        """A layer that looks elsewhere for each image, also outside of it."""
        layer = SpatialTransformer(
            keras.layers.Flatten(),
            self.transform,
            output_size or OUTPUT_SIZES[self.dimensions],
            name=str(self),
            **self.semantics,
            **options,
        )
        layer(self.images())
        kernel = layer.regression.dense.weights[0]
        kernel.assign(np.random.default_rng(8).normal(size=kernel.shape) * 0.1)
        return layer

    def theta(self) -> np.ndarray:
        return np.asarray(self.layer().theta(self.images()))


CASES = [
    Case(*choices) for choices in itertools.product(TRANSFORMS, KERNELS, PADDINGS, (False, True))
]
# With every pair of choices.
PAIRS = [CASES[index] for index in covering([dataclasses.astuple(case) for case in CASES])]
every_case = pytest.mark.parametrize("case", parameters(CASES, dataclasses.astuple), ids=str)


def group(case: Case) -> tuple[Case, ...]:
    """The cases that stand in one file with this one: those that `make test` runs, or the rest."""
    return tuple(other for other in CASES if (other in PAIRS) == (case in PAIRS))


@every_case
def test_numpy_reference(case: Case) -> None:
    grid = reference.grid(
        case.transform, case.theta(), OUTPUT_SIZES[case.dimensions], case.align_corners
    )
    assert np.abs(grid).max() > 1.05, "the case must also look outside the image"
    expected = reference.grid_sample(
        case.images(), grid, case.kernel, case.padding, case.align_corners
    )
    np.testing.assert_allclose(case.layer()(case.images()), expected, atol=2e-5)


@every_case
def test_onnx_reference_evaluator(case: Case) -> None:
    layer = case.layer(return_grid=True)
    crops, grid = layer(case.images())
    value = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node(
        "GridSample",
        ["images", "grid"],
        ["crops"],
        mode=ONNX_MODES[case.kernel],
        padding_mode=case.padding,
        align_corners=int(case.align_corners),
    )
    graph = onnx.helper.make_graph(
        [node],
        "grid_sample",
        [value(name, onnx.TensorProto.FLOAT, None) for name in ("images", "grid")],
        [value("crops", onnx.TensorProto.FLOAT, None)],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)])
    channels_first = np.moveaxis(case.images(), -1, 1)
    (expected,) = ReferenceEvaluator(model).run(
        None, {"images": channels_first, "grid": np.asarray(grid)}
    )
    np.testing.assert_allclose(crops, np.moveaxis(expected, 1, -1), atol=2e-5)


@every_case
def test_gradients(case: Case) -> None:
    images, theta = case.images()[:1].astype(np.float64), case.theta()[:1].astype(np.float64)
    size = OUTPUT_SIZES[case.dimensions]

    def warped(images: tf.Tensor, theta: tf.Tensor) -> tf.Tensor:
        return warp(images, theta, size, transform=case.transform, **case.semantics)

    rng = np.random.default_rng(9)
    cotangent = rng.normal(size=warped(images, theta).shape)
    with tf.GradientTape() as tape:
        arguments = [tf.constant(images), tf.constant(theta)]
        tape.watch(arguments)
        value = tf.reduce_sum(cotangent * warped(*arguments))
    gradients = tape.gradient(value, arguments)
    for which, (argument, gradient) in enumerate(zip((images, theta), gradients, strict=True)):
        slopes = []
        for _ in range(3):
            direction = rng.normal(size=argument.shape)
            ends = []
            for step in (1e-6, -1e-6):
                moved = [images, theta]
                moved[which] = argument + step * direction
                ends.append(np.sum(cotangent * warped(*moved)))
            slopes.append((ends[0] - ends[1]) / 2e-6)
            np.testing.assert_allclose(np.sum(direction * gradient), slopes[-1], atol=1e-5)
        flat = which == 1 and case.kernel == "nearest"
        assert np.abs(slopes).max() == 0 if flat else np.abs(slopes).max() > 0.1


@every_case
def test_xla(case: Case) -> None:
    layer = case.layer()
    compiled = tf.function(layer.__call__, jit_compile=True)
    # XLA orders the arithmetic in its own way, and a projective grid magnifies the rounding.
    atol = 1e-4 if case.transform == "projective" else 2e-5
    np.testing.assert_allclose(compiled(case.images()), layer(case.images()), atol=atol)


@every_case
def test_mixed_precision(case: Case) -> None:
    """Only images are halved: the result is that of the halved images, rounded once."""
    layer = case.layer()
    half = case.layer(dtype="mixed_float16")
    images = case.images().astype(np.float16)
    theta = np.asarray(half.theta(tf.constant(images)))
    crops = half(images)
    assert crops.dtype == tf.float16
    expected = layer.warp([images.astype(np.float32), theta])
    np.testing.assert_allclose(tf.cast(crops, tf.float32), expected, rtol=2e-3, atol=1e-4)


@every_case
def test_identity(case: Case) -> None:
    images = case.images()
    theta = np.stack([get_transform(case.transform).identity()] * len(images))
    same = warp(images, theta, images.shape[1:-1], transform=case.transform, **case.semantics)
    np.testing.assert_allclose(same, images, atol=1e-6)


@pytest.fixture(scope="module")
def keras_outputs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Case], list[dict]]:
    """What one model with the layers of a group says before saving and after loading."""

    @functools.cache
    def of_group(cases: tuple[Case, ...]) -> list[dict]:
        inputs = {d: keras.Input((*size, 2), name=f"images_{d}d") for d, size in SIZES.items()}
        outputs = {str(case): case.layer()(inputs[case.dimensions]) for case in cases}
        model = keras.Model(list(inputs.values()), outputs)
        path = tmp_path_factory.mktemp("keras") / "model.keras"
        model.save(path)
        images = {case.dimensions: case.images() for case in cases}
        values = [images[dimensions] for dimensions in SIZES]
        return [network(values) for network in (model, keras.models.load_model(path))]

    return lambda case: of_group(group(case))


@every_case
def test_save_and_load(case: Case, keras_outputs: Callable[[Case], list[dict]]) -> None:
    before, after = (outputs[str(case)] for outputs in keras_outputs(case))
    np.testing.assert_array_equal(after, before)
    np.testing.assert_allclose(after, case.layer()(case.images()), atol=1e-6)


@pytest.fixture(scope="module")
def signatures(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Case], Callable[..., dict]]:
    """Signatures of SavedModels, a case each, any batch size, loaded again; a file a transform,
    because loading takes TensorFlow quadratic time in the number of signatures."""

    @functools.cache
    def loaded(cases: tuple[Case, ...]) -> tf.Module:
        module = tf.Module()
        module.layers = {str(case): case.layer() for case in cases}
        signatures = {}
        for case in cases:
            spec = tf.TensorSpec([None, *case.images().shape[1:]], name="images")
            call = tf.function(module.layers[str(case)].__call__)
            signatures[_name(case)] = call.get_concrete_function(spec)
        path: Path = tmp_path_factory.mktemp("saved_model")
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(module, str(path), signatures, options)
        return tf.saved_model.load(str(path))

    def signature(case: Case) -> Callable[..., dict]:
        cases = tuple(other for other in group(case) if other.transform == case.transform)
        return loaded(cases).signatures[_name(case)]

    return signature


def _name(case: Case) -> str:
    return str(case).replace("-", "_")


@every_case
def test_saved_model(case: Case, signatures: Callable[[Case], Callable[..., dict]]) -> None:
    signature = signatures(case)
    for count in (1, 3):
        images = case.images()[:count]
        (crops,) = signature(images=tf.constant(images)).values()
        # The layer called eagerly has the native sampler, the file has stock operations.
        np.testing.assert_allclose(crops, case.layer()(images), atol=5e-6)
