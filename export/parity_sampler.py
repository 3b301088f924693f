"""The comparison of the sampler alone, where a grid can be anything."""

from collections.abc import Iterator

import numpy as np
import onnx
import tensorflow as tf

from stn_tf.export import onnx_form
from stn_tf.export.manifest import ParityRow
from stn_tf.export.onnx_file import convert
from stn_tf.export.onnx_runtimes import Answers, onnx_runtime, reference_evaluator
from stn_tf.export.parity_cases import sampler_cases, sampler_images
from stn_tf.export.sampler_nodes import Sampling
from stn_tf.export.targets import OnnxOptions
from stn_tf.libraries import onnxruntime_library
from stn_tf.sampling import grid_sample, native_sampler

_TOLERANCE = 1e-5


def compare_sampler(sampling: Sampling, options: OnnxOptions) -> Iterator[ParityRow]:
    """Yields a row for every case and runtime, for one semantics as it is in the file."""
    semantics = sampling.semantics
    choices = semantics._asdict()
    images = sampler_images()

    def sample(images: tf.Tensor, grid: tf.Tensor) -> list[tf.Tensor]:
        with native_sampler(False):
            return [grid_sample(images, grid, **choices)]

    specs = [tf.TensorSpec([None, *images.shape[1:]]), tf.TensorSpec([None, None, None, 2])]
    function = tf.function(sample, input_signature=specs, autograph=False)
    model = convert(function.get_concrete_function(), ["images", "grid"], ["crops"], options)
    runtimes = _runtimes(model)
    name = f"{semantics.kernel}, {semantics.padding}, align_corners={semantics.align_corners}"
    for case, grid in sampler_cases(**choices).items():
        expected = grid_sample(images, grid, **choices).numpy()
        for candidate, run in runtimes.items():
            found = run({"images": images, "grid": grid})["crops"]
            yield ParityRow(
                output="grid_sample",
                case=f"{case} ({name})",
                candidate=candidate,
                largest_difference=largest_difference(found, expected),
                tolerance=_TOLERANCE,
                images=1,
            )


def _runtimes(model: onnx.ModelProto) -> dict[str, Answers]:
    """The file in ONNX's reference evaluator, and in ONNX Runtime without and with our library."""
    ours = any(node.domain == onnx_form.DOMAIN for node in onnx_form.nodes(model.graph))
    serialized = model.SerializeToString()
    found: dict[str, Answers] = {}
    if model.functions or not ours:
        found["onnx_runtime"] = onnx_runtime(serialized, ours=False)
        found["onnx_reference"] = reference_evaluator(serialized)
    if ours and onnxruntime_library() is not None:
        found["onnx_runtime/ours"] = onnx_runtime(serialized)
    return found


def largest_difference(value: np.ndarray, expected: np.ndarray) -> float:
    """NaN if either has one: a model that answers NaN has not been shown to be right."""
    if value.shape != expected.shape:
        return float("inf")
    if value.size == 0:
        return 0.0
    return float(np.max(np.abs(value.astype(np.float64) - expected.astype(np.float64))))
