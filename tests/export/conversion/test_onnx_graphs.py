"""Samplers anywhere in a graph: every form computes what TensorFlow does, with and without us."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

import stn_tf
from stn_tf.export import OnnxOptions
from stn_tf.export.conversion.onnx_file import convert
from stn_tf.export.onnx_passes.find import samplers_in
from stn_tf.export.proof.runtimes.onnx_runtime import onnx_runtime
from tests.pairs import every_pair

FORMS = ("dual", "standard", "custom")
every_form = pytest.mark.parametrize("form", FORMS)


def _compare(
    function: Callable, form: str, samplers: int, sign: int = 1, opset: int | None = None
) -> None:
    """Converts a function of images `[N, 4, 5, 2]` and a grid `[N, 3, 3, 2]`, and runs it."""
    specs = [tf.TensorSpec([None, 4, 5, 2]), tf.TensorSpec([None, 3, 3, 2])]
    traced = tf.function(function, input_signature=specs, autograph=False).get_concrete_function()
    names = [f"output_{index}" for index in range(len(traced.outputs))]
    model = convert(traced, ["images", "grid"], names, OnnxOptions(sampler=form, opset=opset))
    found = samplers_in(model)
    assert len(found) == samplers
    rng = np.random.default_rng(0)
    images = sign * rng.uniform(0.1, 1, (2, 4, 5, 2)).astype(np.float32)
    grid = rng.uniform(-1.2, 1.2, (2, 3, 3, 2)).astype(np.float32)
    for ours in (True,) if form == "custom" else (False, True):
        answers = onnx_runtime(model.SerializeToString(), ours=ours)(
            {"images": images, "grid": grid}
        )
        for name, expected in zip(names, function(images, grid), strict=True):
            assert answers[name].shape == tuple(expected.shape)
            np.testing.assert_allclose(answers[name], expected, atol=1e-5)


@every_form
def test_one_channel_repeated_by_ones(form):
    def function(images: tf.Tensor, grid: tf.Tensor) -> list[tf.Tensor]:
        crops = stn_tf.grid_sample(images, grid)
        return [tf.exp(crops[..., 1:] * np.ones(3, np.float32)), tf.exp(crops * np.ones((1, 1)))]

    _compare(function, form, 1)


@every_form
def test_equal_samplers_share_a_node(form):
    def function(images: tf.Tensor, grid: tf.Tensor) -> list[tf.Tensor]:
        return [stn_tf.grid_sample(images, grid), 2.0 * stn_tf.grid_sample(images, grid)]

    _compare(function, form, 1)


@every_pair(form=FORMS, opset=[18, 20], sign=[1, -1])
def test_a_sampler_in_each_branch(sign, opset, form):
    def function(images: tf.Tensor, grid: tf.Tensor) -> list[tf.Tensor]:
        positive = tf.reduce_sum(images) > 0
        return [
            tf.cond(
                positive,
                lambda: stn_tf.grid_sample(images, grid, align_corners=True),
                lambda: stn_tf.grid_sample(images, -grid, padding="border"),
            )
        ]

    _compare(function, form, 2, sign, opset)


@every_form
@pytest.mark.parametrize("opset", [18, 20])
def test_a_sampler_in_a_loop(opset, form):
    def function(images: tf.Tensor, grid: tf.Tensor) -> list[tf.Tensor]:
        def step(index: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return index + 1, total + stn_tf.grid_sample(images, grid, kernel="bicubic")

        start = stn_tf.grid_sample(images, grid)
        return [tf.while_loop(lambda index, _: index < 3, step, [0, start])[1]]

    _compare(function, form, 2, opset=opset)
