"""Compares a migrated model with what it was, run by the compiled samplers."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import tensorflow as tf

from stn_tf import native
from stn_tf.export.migration.resampler_nodes import RESAMPLERS, Sampler, traced
from stn_tf.export.proof.comparison import Run
from stn_tf.export.proof.examples import BATCHES
from stn_tf.export.proof.expectations import Case, Expectation, Feeds
from stn_tf.export.proof.runtimes.tensorflow_runtime import without_tensor_float_32
from stn_tf.export.publish.manifest import ParityRow

Specs = Mapping[str, tf.TensorSpec]

# Of differences, relative to the largest value where that is above 1.
_TOLERANCE = {tf.float16: 2e-3, tf.bfloat16: 1.6e-2}
_FINE, _OTHER_ROUNDING = 1e-5, 1e-4
# Another order of operations moves points by about this much of an image's width.
_ROUNDING = 1e-6
# Stands for a dimension, other than the batch, that a signature leaves open.
_OPEN = 32


def _tolerance(samplers: Iterable[Sampler]) -> float:
    return max((_TOLERANCE.get(sampler.dtype, _FINE) for sampler in samplers), default=_FINE)


def tolerance_of(samplers: Iterable[Sampler]) -> float:
    """Returns what files may differ by in other runtimes, relative to the largest number."""
    return max(_tolerance(samplers), _OTHER_ROUNDING)


def refusal(inputs: Specs) -> str | None:
    """Says why inputs cannot be made up; None if they can."""
    for name, spec in inputs.items():
        if spec.shape.rank is None or not (spec.dtype.is_floating or spec.dtype.is_integer):
            return (
                f"the input `{name}` cannot be made up, for it has the type {spec.dtype.name} and "
                f"the shape {spec.shape}"
            )
    return None


def compare_samplers(samplers: Iterable[Sampler]) -> Iterator[ParityRow]:
    """Yields a row for every different sampler, on points that break samplers."""
    operations = native.operations()
    compiled = {
        **dict.fromkeys(RESAMPLERS, "addons_resampler"),
        "StnTf>GridSample": "stn_tf_grid_sample",
        "StnTf>Warp": "stn_tf_warp",
    }
    for sampler in sorted(samplers, key=lambda one: one.name):
        if sampler.op not in RESAMPLERS:
            # Far from the first pixel normalised points are too coarse to compare this finely.
            sizes = [min(size or 8, 8) for size in sampler.images_shape[1:-1]]
            sampler = sampler._replace(images_shape=(None, *sizes, sampler.images_shape[-1]))
        images, points = _hard_arguments(sampler)
        operation = getattr(operations, compiled[sampler.op])
        expected = operation(images, points, **dict(sampler.options))
        found = traced(sampler)(images, points)
        limit = _tolerance([sampler])
        yield _row(sampler.op, "hard points", "sampler", to_numpy(expected), to_numpy(found), limit)


def compare_models(
    original: Run,
    candidates: Mapping[str, Run],
    inputs: Specs,
    samplers: Iterable[Sampler],
    prefix: str = "",
) -> Iterator[ParityRow]:
    """Yields a row for every output, case and candidate.

    Args:
        original: The model as it was.
        candidates: The files by name. Other runtimes than TensorFlow, and stock operations in the
            place of our own, round points differently: images count there whose answer does not
            hang on that, and more may differ.
        inputs: What they take.
        samplers: The samplers that were replaced.
        prefix: Goes before the names of outputs.
    """
    allowed = _tolerance(samplers)
    exact = all(sampler.op in RESAMPLERS for sampler in samplers)
    with without_tensor_float_32():
        for case, feeds in _cases(inputs):
            expected = original(feeds)
            moved = original(_moved(feeds))
            width = max((max(v.shape[1:], default=1) for v in feeds.values()), default=1)
            coarse = max(allowed, _OTHER_ROUNDING, 1e-5 * width)
            for name, answers in candidates.items():
                answer = answers(feeds)
                for output, value in expected.items():
                    found, limit = answer[output], allowed
                    if not (exact and name == "saved_model"):
                        limit = coarse
                        steady = _steady(value, moved[output], limit)
                        if value.ndim and found.shape == value.shape:
                            value, found = value[steady], found[steady]
                    yield _row(prefix + output, case, name, value, found, limit)


def expectations(original: Run, inputs: Specs, samplers: Iterable[Sampler]) -> list[Expectation]:
    """Returns what the model as it was says, for `stn-tf validate`: where it says numbers."""
    limit = tolerance_of(samplers)
    found = []
    with without_tensor_float_32():
        for case, feeds in _cases(inputs):
            said, moved = original(feeds), original(_moved(feeds))
            count = max((len(v) for v in feeds.values() if v.ndim), default=1)
            steady = np.ones(count, bool)
            for name, value in said.items():
                if value.ndim and len(value) == count:
                    steady &= _steady(value, moved[name], limit)
            numbers = all(np.isfinite(v).all() for v in said.values() if v.dtype.kind == "f")
            if numbers and steady.any():
                found.append(Expectation(Case(case, feeds), dict(said), steady))
    return found


def _row(
    output: str, case: str, candidate: str, expected: np.ndarray, found: np.ndarray, limit: float
) -> ParityRow:
    numbers = np.issubdtype(expected.dtype, np.floating)
    finite = np.abs(expected[np.isfinite(expected)]) if numbers else np.zeros(0)
    return ParityRow(
        output=output,
        case=case,
        candidate=candidate,
        largest_difference=_difference(expected, found),
        tolerance=limit * max(1.0, float(np.max(finite, initial=0.0))) if numbers else 0.0,
        images=len(expected) if expected.ndim else 1,
    )


def _difference(expected: np.ndarray, found: np.ndarray) -> float:
    """What is no number in both, or the same infinity, does not differ."""
    if expected.shape != found.shape:
        return math.inf
    if not np.issubdtype(expected.dtype, np.number):
        return 0.0 if np.array_equal(expected, found) else math.inf
    expected, found = expected.astype(np.float64), found.astype(np.float64)
    same = (expected == found) | (np.isnan(expected) & np.isnan(found))
    with np.errstate(invalid="ignore"):
        return float(np.max(np.where(same, 0.0, np.abs(expected - found)), initial=0.0))


def _steady(expected: np.ndarray, moved: np.ndarray, limit: float) -> np.ndarray:
    """Which images `[N]` answer alike when the input changes by rounding."""
    rows = [
        _row("", "", "", a, b, limit / 10)
        for a, b in zip(*map(np.atleast_1d, (expected, moved)), strict=True)
    ]
    return np.array([row.passed for row in rows], bool)


def _moved(feeds: Feeds) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    return {
        name: (values * (1.0 + rng.uniform(-_ROUNDING, _ROUNDING, values.shape))).astype(
            values.dtype
        )
        if np.issubdtype(values.dtype, np.floating)
        else values
        for name, values in feeds.items()
    }


def _cases(inputs: Specs) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Random and adversarial inputs, in batches of 1, 2 and 7 where the batch is free."""
    rng = np.random.default_rng(0)
    free = any(spec.shape.rank and spec.shape[0] is None for spec in inputs.values())
    fills: dict[str, Callable[[tuple[int, ...]], np.ndarray]] = {
        "random": lambda shape: rng.uniform(size=shape),
        "random -40..40": lambda shape: rng.uniform(-40.0, 40.0, shape),
        "zeros": np.zeros,
        "ones": np.ones,
        "checkerboard": lambda shape: np.asarray(np.indices(shape).sum(axis=0) % 2.0),
    }
    for (case, fill), batch in itertools.product(fills.items(), BATCHES if free else (None,)):
        feeds = {}
        for name, spec in inputs.items():
            dims = [_OPEN if size is None else size for size in spec.shape]
            if dims and spec.shape[0] is None:
                dims[0] = batch
            values = fill(tuple(dims))
            lowest = 0 if spec.dtype.is_unsigned else -np.inf
            feeds[name] = np.maximum(values, lowest).astype(spec.dtype.as_numpy_dtype)
        yield case + (f", batch {batch}" if free else ""), feeds


def _hard_arguments(sampler: Sampler) -> tuple[tf.Tensor, tf.Tensor]:
    """Images, and points on, beside, between and far from pixels, or thetas."""
    sizes = [size or (4, 8, 4)[i] for i, size in enumerate(sampler.images_shape[1:-1])]
    options = dict(sampler.options)
    rng = np.random.default_rng(1)
    if sampler.op == "StnTf>Warp":
        points = rng.normal(size=(9, 8))
        points[:, 6:] *= 0.1
        if options["transform"] == "affine":
            points = points[:, :6].reshape(-1, 2, 3)
    else:
        points = _hard_points(sizes[::-1], options)
        known = sampler.points_shape[1:-1] if sampler.points_shape else (1, None)
        tail = [15 if size is None else size for size in known]
        batch = math.ceil(len(points) / max(1, math.prod(tail)))
        points = np.resize(points, (batch, *tail, len(sizes)))
    channels = sampler.images_shape[-1] or 2
    images = rng.normal(size=(len(points), *sizes, channels))
    return tf.cast(images, sampler.dtype), tf.cast(points, sampler.points)


def _hard_points(sizes: list[int], options: Mapping[str, object]) -> np.ndarray:
    """All pairs (or triples) of hard coordinates, x first; normalised for our own operation."""
    axes = []
    for size in sizes:
        values = [-1.0, -0.999, 0.0, 0.25, size / 2 + 0.1, size - 1.0, size - 0.001, size]
        if options.get("kernel") != "nearest":  # Where ties round by the last bit.
            values += [-0.5, size - 0.5]
        if options.get("padding") != "reflection":  # Mirrors have no outside.
            values += [-1e9, 1e9, math.nan, math.inf, -math.inf]
        pixels = np.array(values)
        if "kernel" in options and options["align_corners"]:
            pixels = 2.0 * pixels / max(size - 1, 1) - 1.0
        elif "kernel" in options:
            pixels = (2.0 * pixels + 1.0) / size - 1.0
        axes.append(pixels)
    return np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, len(sizes))


def to_numpy(tensor: tf.Tensor) -> np.ndarray:
    """In a type that NumPy knows."""
    wide = tf.cast(tensor, tf.float32) if tensor.dtype == tf.bfloat16 else tensor
    return np.asarray(wide.numpy())
