"""Version directories of every task, range and layout, and what NumPy says of their images.

Each is an ONNX file written by hand, of one matrix over the flat input, with its manifest.
"""

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper, parser

from stn_tf.export.publish.manifest import Manifest, Sampler, write_manifest
from stn_tf.interface import InputSpec, ModelInterface, OutputSpec

HEIGHT, WIDTH = 6, 5
GREY = InputSpec(
    name="images",
    dtype="float32",
    shape=(None, HEIGHT, WIDTH, 1),
    layout="NHWC",
    color_space="grayscale",
    value_range=(0.0, 1.0),
)
RGB = GREY.model_copy(update={"shape": (None, HEIGHT, WIDTH, 3), "color_space": "rgb"})
BGR_FIRST = RGB.model_copy(
    update={
        "shape": (None, 3, HEIGHT, WIDTH),
        "layout": "NCHW",
        "color_space": "bgr",
        "value_range": (-1.0, 1.0),
    }
)
NORMALISED = RGB.model_copy(
    update={"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "resize": "center_crop"}
)
BYTES = RGB.model_copy(update={"dtype": "uint8", "value_range": (0.0, 255.0), "resize": "squash"})
WIDE = RGB.model_copy(update={"value_range": (0.0, 255.0)})
FREE = RGB.model_copy(update={"shape": (None, None, None, 3)})

_TYPES = {"float32": "float", "float16": "float16", "uint8": "uint8", "bfloat16": "bfloat16"}
Truth = Callable[[np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Handmade:
    """A version directory, and `truth`: the outputs for a batch of its inputs, in NumPy."""

    path: Path
    interface: ModelInterface
    truth: Truth


def write(
    folder: Path,
    interface: ModelInterface,
    body: str,
    weights: Mapping[str, np.ndarray] | None = None,
    *,
    samplers: Sequence[Sampler] = (),
    signatures: Mapping[str, tuple[str, ...]] | None = None,
) -> Path:
    """Writes a version directory whose ONNX file computes `body`, lines of ONNX's own language."""
    inputs = ", ".join(_value(spec) for spec in interface.inputs)
    outputs = ", ".join(_value(spec) for spec in interface.outputs)
    text = (
        f'<ir_version: 9, opset_import: ["" : 18]>\nhandmade ({inputs}) => ({outputs}) {{{body}}}'
    )
    model = parser.parse_model(text)
    for name, values in (weights or {}).items():
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    onnx.checker.check_model(model)
    folder.mkdir(parents=True)
    onnx.save(model, folder / "model.onnx")
    looks = ("theta", "corners", "crops")
    heads = tuple(spec.name for spec in interface.outputs if spec.meaning not in looks)
    found = {"serving_default": heads, "serving_bytes": heads}
    if samplers:
        theta, corners, crops = (interface.named(kind) for kind in looks)
        found |= {"localize": (*theta, *corners), "rectify": crops}
    manifest = Manifest(
        experiment="unit",
        model="handmade",
        interface=interface,
        signatures=dict(signatures or found),
        samplers=tuple(samplers),
        created=datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC),
    )
    write_manifest(folder, manifest)
    return folder


def _value(spec: Any) -> str:
    kind = {"int64": "int64", "string": "string"}.get(spec.dtype) or _TYPES[spec.dtype]
    if not spec.shape:
        return f"{kind} {spec.name}"
    free = "NHWC"
    sizes = (free[i] if n is None else str(n) for i, n in enumerate(spec.shape))
    return f"{kind}[{','.join(sizes)}] {spec.name}"


def _output(name: str, *shape: int | None, **more: Any) -> OutputSpec:
    return OutputSpec(name=name, dtype=more.pop("dtype", "float32"), shape=shape, **more)


def _matrix(columns: int, rows: int = HEIGHT * WIDTH * 3) -> np.ndarray:
    return np.random.default_rng(columns).normal(size=(rows, columns)).astype(np.float32) / rows


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float64)


def softmax(folder: Path, spec: InputSpec, scale: float = 20.0) -> Handmade:
    """Three classes; its `class` is a score of its own, so that meanings must be looked up."""
    weight = _matrix(3, HEIGHT * WIDTH * (spec.channels or 1)) * np.float32(scale)
    interface = ModelInterface(
        inputs=(spec,),
        outputs=(
            _output("class", None, 3, meaning="logits"),
            _output("shares", None, 3, meaning="probabilities", derived=True),
            _output("index", None, dtype="int64", meaning="class", derived=True),
        ),
        task="classification",
        class_names=("ant", "bee", "dög"),
    )
    body = """
        f = Cast<to=1>(images)
        flat = Flatten(f)
        class = MatMul(flat, w)
        shares = Softmax<axis=-1>(class)
        index = ArgMax<axis=-1, keepdims=0>(class)
    """

    def truth(images: np.ndarray) -> dict[str, np.ndarray]:
        logits = _flat(images) @ weight
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
        shares = powers / powers.sum(axis=-1, keepdims=True)
        return {"class": logits, "shares": shares, "index": logits.argmax(axis=-1)}

    return Handmade(write(folder, interface, body, {"w": weight}), interface, truth)


def binary(folder: Path, spec: InputSpec = WIDE) -> Handmade:
    weight = _matrix(1)
    interface = ModelInterface(
        inputs=(spec,),
        outputs=(
            _output("score", None, 1),
            _output("probabilities", None, 2, meaning="probabilities", derived=True),
            _output("class", None, dtype="int64", meaning="class", derived=True),
        ),
        task="binary",
        class_names=("closed", "open"),
    )
    body = """
        flat = Flatten(images)
        score = MatMul(flat, w)
        yes = Sigmoid(score)
        no = Sub(one, yes)
        probabilities = Concat<axis=-1>(no, yes)
        class = ArgMax<axis=-1, keepdims=0>(probabilities)
    """

    def truth(images: np.ndarray) -> dict[str, np.ndarray]:
        score = _flat(images) @ weight
        yes = 1 / (1 + np.exp(-score))
        shares = np.concatenate([1 - yes, yes], axis=-1)
        return {"score": score, "probabilities": shares, "class": shares.argmax(axis=-1)}

    weights = {"w": weight, "one": np.ones(1, np.float32)}
    return Handmade(write(folder, interface, body, weights), interface, truth)


def multilabel(folder: Path, spec: InputSpec = BGR_FIRST) -> Handmade:
    weight = _matrix(4) * np.float32(30)
    interface = ModelInterface(
        inputs=(spec,),
        outputs=(
            _output("scores", None, 4),
            _output("probabilities", None, 4, meaning="probabilities", derived=True),
        ),
        task="multilabel",
        class_names=("sky", "sea", "sand", "snow"),
    )
    body = """
        flat = Flatten(images)
        scores = MatMul(flat, w)
        probabilities = Sigmoid(scores)
    """

    def truth(images: np.ndarray) -> dict[str, np.ndarray]:
        scores = _flat(images) @ weight
        return {"scores": scores, "probabilities": 1 / (1 + np.exp(-scores))}

    return Handmade(write(folder, interface, body, {"w": weight}), interface, truth)


def regression(folder: Path, spec: InputSpec = NORMALISED) -> Handmade:
    """An age, a pose, and a temperature that has no batch dimension."""
    weight = _matrix(4)
    interface = ModelInterface(
        inputs=(spec,),
        outputs=(_output("age", None, 1), _output("pose", None, 3), _output("temperature")),
        task="regression",
    )
    body = """
        flat = Flatten(images)
        both = MatMul(flat, w)
        age, pose = Split<axis=-1>(both, parts)
        temperature = ReduceMax<keepdims=0>(both)
    """

    def truth(images: np.ndarray) -> dict[str, np.ndarray]:
        both = _flat(images) @ weight
        return {"age": both[:, :1], "pose": both[:, 1:], "temperature": both.max()}

    weights = {"w": weight, "parts": np.array([1, 3])}
    return Handmade(write(folder, interface, body, weights), interface, truth)


def embedding(folder: Path, spec: InputSpec = BYTES) -> Handmade:
    weight = _matrix(8)
    interface = ModelInterface(
        inputs=(spec,), outputs=(_output("vector", None, 8),), task="embedding"
    )
    body = """
        f = Cast<to=1>(images)
        flat = Flatten(f)
        vector = MatMul(flat, w)
    """

    def truth(images: np.ndarray) -> dict[str, np.ndarray]:
        return {"vector": _flat(images) @ weight}

    return Handmade(write(folder, interface, body, {"w": weight}), interface, truth)


def dense(folder: Path, spec: InputSpec = FREE) -> Handmade:
    """Two numbers for each pixel of images of any size: the second is the larger, but in black."""
    weight = np.abs(_matrix(2, 3)) * np.float32([-1, 1])
    interface = ModelInterface(
        inputs=(spec,), outputs=(_output("map", None, None, None, 2),), task="dense"
    )

    def truth(images: np.ndarray) -> dict[str, np.ndarray]:
        return {"map": images.astype(np.float64) @ weight}

    path = write(folder, interface, "map = MatMul(images, w)", {"w": weight})
    return Handmade(path, interface, truth)


def several_crops(folder: Path, spec: InputSpec = WIDE) -> Handmade:
    """The two halves of an image, by a transform that stn-tf does not know; task undecided."""
    half = HEIGHT // 2
    theta = np.array([[0.0], [1.0]], np.float32)
    corners = np.array(
        [
            [[-0.5, top], [WIDTH - 0.5, top], [WIDTH - 0.5, top + half], [-0.5, top + half]]
            for top in (-0.5, half - 0.5)
        ],
        np.float32,
    )
    interface = ModelInterface(
        inputs=(spec,),
        outputs=(
            _output("sum", None),
            _output("theta", None, 2, 1, meaning="theta"),
            _output("corners", None, 2, 4, 2, meaning="corners"),
            _output("crops", None, 2, half, WIDTH, 3, meaning="crops"),
        ),
    )
    sampler = Sampler(
        transform="half",
        kernel="bilinear",
        padding="zeros",
        align_corners=False,
        input_size=(HEIGHT, WIDTH),
        output_size=(half, WIDTH),
        reads_images=True,
    )
    body = """
        sum = ReduceSum<keepdims=0>(images, axes)
        shape = Shape(images)
        count = Gather(shape, zero)
        as_theta = Concat<axis=0>(count, theta_shape)
        theta = Expand(one_theta, as_theta)
        as_corners = Concat<axis=0>(count, corners_shape)
        corners = Expand(one_corners, as_corners)
        crops = Reshape(images, crops_shape)
    """
    weights = {
        "axes": np.array([1, 2, 3]),
        "zero": np.array([0]),
        "theta_shape": np.array(theta.shape),
        "one_theta": theta,
        "corners_shape": np.array(corners.shape),
        "one_corners": corners,
        "crops_shape": np.array([-1, 2, half, WIDTH, 3]),
    }

    def truth(images: np.ndarray) -> dict[str, np.ndarray]:
        count = len(images)
        return {
            "sum": images.sum(axis=(1, 2, 3)),
            "theta": np.broadcast_to(theta, (count, *theta.shape)),
            "corners": np.broadcast_to(corners, (count, *corners.shape)),
            "crops": images.reshape(count, 2, half, WIDTH, 3),
        }

    path = write(folder, interface, body, weights, samplers=[sampler])
    return Handmade(path, interface, truth)
