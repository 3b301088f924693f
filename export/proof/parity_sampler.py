"""The comparison of the sampler alone, where a grid can be anything."""

from collections.abc import Iterator

import onnx
import tensorflow as tf

from stn_tf.export.conversion.onnx_file import convert
from stn_tf.export.onnx_passes.find import samplers_in
from stn_tf.export.onnx_passes.targets import OnnxOptions
from stn_tf.export.proof.comparison import Run, largest_difference
from stn_tf.export.proof.parity_cases import sampler_cases, sampler_images
from stn_tf.export.proof.runtimes.onnx_runtime import onnx_runtime
from stn_tf.export.proof.runtimes.reference_evaluator import reference_evaluator
from stn_tf.export.publish.manifest import ParityRow
from stn_tf.export.sampler_spec import SamplerSpec, is_ours
from stn_tf.export.tensorflow.functions import ConcreteFunction
from stn_tf.libraries import onnxruntime_library
from stn_tf.sampling import grid_sample, native_sampler, warp

_TOLERANCE = 1e-5


def compare_sampler(spec: SamplerSpec, options: OnnxOptions) -> Iterator[ParityRow]:
    """Yields a row for every case and runtime, for one sampler as it is in the file."""
    images = sampler_images(spec.dimensions)
    model = convert(_function(spec), ["images", "points"], ["crops"], options)
    runtimes = _runtimes(model)
    kind = "grid_sample" if spec.points == "grid" else f"{spec.points} warp"
    name = f"{spec.kernel}, {spec.padding}, align_corners={spec.align_corners}"
    if spec.dimensions == 3:
        name = f"volumes, {name}"
    for case, values in sampler_cases(spec).items():
        expected = _sample(spec, images, values).numpy()
        for candidate, run in runtimes.items():
            found = run({"images": images, "points": values})["crops"]
            yield ParityRow(
                output=kind,
                case=f"{case} ({name})",
                candidate=candidate,
                largest_difference=largest_difference(found, expected),
                tolerance=_TOLERANCE,
                images=1,
            )


def _sample(spec: SamplerSpec, images: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
    if spec.points == "grid":
        return grid_sample(images, points, **spec.semantics)
    return warp(images, points, images.shape[1:3], transform=spec.points, **spec.semantics)


def _function(spec: SamplerSpec) -> ConcreteFunction:
    """The sampler alone, for any number of images and grids of any size."""

    def sample(images: tf.Tensor, points: tf.Tensor) -> list[tf.Tensor]:
        with native_sampler(False):
            return [_sample(spec, images, points)]

    images = tf.TensorSpec([None, *sampler_images(spec.dimensions).shape[1:]])
    example = next(iter(sampler_cases(spec).values()))
    known = example.shape[-1:] if spec.points == "grid" else example.shape[1:]
    free = [None] * (example.ndim - len(known))
    points = tf.TensorSpec([*free, *known])
    function = tf.function(sample, input_signature=[images, points], autograph=False)
    return function.get_concrete_function()


def _runtimes(model: onnx.ModelProto) -> dict[str, Run]:
    """The file in ONNX's reference evaluator, and in ONNX Runtime without and with our library."""
    ours = any(map(is_ours, samplers_in(model)))
    serialized = model.SerializeToString()
    found: dict[str, Run] = {}
    if model.functions or not ours:
        found["onnx_runtime"] = onnx_runtime(serialized, ours=False)
        found["onnx_reference"] = reference_evaluator(serialized)
    if ours and onnxruntime_library() is not None:
        found["onnx_runtime/ours"] = onnx_runtime(serialized)
    return found
