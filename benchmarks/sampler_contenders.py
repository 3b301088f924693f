"""The samplers that `sampler.py` compares: each a call without arguments.

`contenders(mode, case)` gives those that know a mode; what is not installed is left out.
"""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Call = Callable[[], Any]
MODES = {
    "grid": "forward, grid given",
    "theta": "forward, from theta",
    "grid+gradient": "forward and gradients of images and grid",
    "theta+gradient": "forward and gradients of images and theta",
    "theta-only": "forward and gradient of theta alone",
}


@dataclass(frozen=True)
class Case:
    """What is sampled: `images` by `grid`, the grid of `theta`, where there is one."""

    images: np.ndarray
    grid: np.ndarray
    theta: np.ndarray | None
    threads: int

    @property
    def size(self) -> tuple[int, ...]:
        return self.grid.shape[1:-1]


def make_case(shape: tuple[int, ...], threads: int) -> Case:
    """Images of noise and maps near the identity, the same in every process."""
    import stn_tf

    rng = np.random.default_rng(0)
    images = rng.normal(size=shape).astype(np.float32)
    dimensions = len(shape) - 2
    identity = np.eye(dimensions, dimensions + 1)
    noise = rng.normal(0, 0.1, (shape[0], *identity.shape))
    theta = (identity + noise).astype(np.float32)
    make = stn_tf.affine_grid if dimensions == 2 else stn_tf.affine_grid_3d
    grid = make(theta, shape[1:-1]).numpy()
    return Case(images, grid, theta if dimensions == 2 else None, threads)


def contenders(mode: str, case: Case, addons: "Addons | None") -> dict[str, Call]:
    """Returns every contender for a mode of `MODES`, by name."""
    found = {**_tensorflow(mode, case), **_onnxruntime(mode, case), **_torch(mode, case)}
    if addons is not None and mode.startswith("grid") and case.images.ndim == 4:
        found["addons"] = lambda: addons.call(mode)
    if mode in ("grid", "theta"):
        source = np.ones(_output_shape(case), np.float32)
        target = np.zeros_like(source)
        found["memcpy"] = lambda: np.copyto(target, source)
    return found


def _output_shape(case: Case) -> tuple[int, ...]:
    return (*case.grid.shape[:-1], case.images.shape[-1])


def _tensorflow(mode: str, case: Case) -> dict[str, Call]:
    import tensorflow as tf

    import stn_tf

    kind, _, rest = mode.partition("+")
    if kind.startswith("theta") and case.theta is None:
        return {}
    images = tf.constant(case.images)
    points = tf.constant(case.grid if kind == "grid" else case.theta)
    upstream = tf.ones(_output_shape(case))

    def sample(images: Any, points: Any) -> Any:
        if kind == "grid":
            return stn_tf.grid_sample(images, points)
        return stn_tf.warp(images, points, case.size)

    def run(images: Any, points: Any) -> Any:
        if mode in ("grid", "theta"):
            return sample(images, points)
        wanted = [images, points] if rest else [points]
        with tf.GradientTape() as tape:
            tape.watch(wanted)
            output = sample(images, points)
        return output, tape.gradient(output, wanted, upstream)

    def portable(images: Any, points: Any) -> Any:
        with stn_tf.native_sampler(False):
            return run(images, points)

    def native(images: Any, points: Any) -> Any:
        with stn_tf.native_sampler():
            return run(images, points)

    # On CPUs these calls return when they are done.
    traced = tf.function(native)
    graph, compiled = tf.function(portable), tf.function(portable, jit_compile=True)
    return {
        "native": lambda: run(images, points),
        "native, in a graph": lambda: traced(images, points),
        "portable": lambda: graph(images, points),
        "xla": lambda: compiled(images, points),
    }


def _onnxruntime(mode: str, case: Case) -> dict[str, Call]:
    if mode not in ("grid", "theta") or (mode == "theta" and case.theta is None):
        return {}
    import onnxruntime
    from onnx import TensorProto, helper

    from stn_tf import libraries

    library = libraries.onnxruntime_library()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = case.threads
    options.log_severity_level = 3
    if library is not None:
        options.register_custom_ops_library(str(library))

    def session(operation: str, domain: str, **attributes: Any) -> Any:
        node = helper.make_node(operation, ["images", "points"], ["output"], None, None, domain)
        node.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())
        values = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            for name in ("images", "points", "output")
        ]
        graph = helper.make_graph([node], "sampler", values[:2], values[2:])
        opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.stn_tf", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def call(made: Any, images: np.ndarray, points: np.ndarray) -> Call:
        feeds = {
            "images": onnxruntime.OrtValue.ortvalue_from_numpy(images),
            "points": onnxruntime.OrtValue.ortvalue_from_numpy(points),
        }
        return lambda: made.run_with_ort_values(None, feeds)

    found: dict[str, Call] = {}
    if mode == "theta":
        size = {"height": case.size[0], "width": case.size[1]}
        if library is not None:
            found["ort native"] = call(
                session("AffineGridSample", "ai.stn_tf", **size), case.images, case.theta
            )
        return found
    if library is not None:
        operation = "GridSample" if case.images.ndim == 4 else "GridSample3D"
        found["ort native"] = call(session(operation, "ai.stn_tf"), case.images, case.grid)
    first = np.ascontiguousarray(np.moveaxis(case.images, -1, 1))
    for aligned in (0, 1):
        made = session("GridSample", "", align_corners=aligned)
        found[f"ort GridSample, align_corners={aligned}"] = call(made, first, case.grid)
    gathers = _gather_graph(case)
    made = onnxruntime.InferenceSession(gathers, options, providers=["CPUExecutionProvider"])
    found["ort gathers"] = call(made, case.images, case.grid)
    return found


def _gather_graph(case: Case) -> bytes:
    import tensorflow as tf
    import tf2onnx

    from stn_tf.sampling import portable

    def sample(images: Any, points: Any) -> Any:
        return tf.identity(portable.sample(images, points, "bilinear", "zeros", False), "output")

    signature = [
        tf.TensorSpec(case.images.shape, name="images"),
        tf.TensorSpec(case.grid.shape, name="points"),
    ]
    model, _ = tf2onnx.convert.from_function(tf.function(sample), signature, opset=15)
    return bytes(model.SerializeToString())


def _torch(mode: str, case: Case) -> dict[str, Call]:
    try:
        import torch
    except ImportError:
        return {}
    if mode.startswith("theta") and case.theta is None:
        return {}
    torch.set_num_threads(case.threads)
    functional = torch.nn.functional
    points = torch.tensor(case.grid if mode.startswith("grid") else case.theta)
    first = torch.tensor(np.moveaxis(case.images, -1, 1).copy())
    size = [first.shape[0], first.shape[1], *case.size]

    def sample(images: Any, points: Any) -> Any:
        grid = points
        if mode.startswith("theta"):
            grid = functional.affine_grid(points, size, align_corners=False)
        return functional.grid_sample(images, grid, align_corners=False)

    def call(images: Any) -> Call:
        upstream = torch.ones_like(sample(images, points))

        def run() -> None:
            mine, theirs = images.detach(), points.detach()
            if mode in ("grid", "theta"):
                sample(mine, theirs)
                return
            mine.requires_grad_("+" in mode)
            theirs.requires_grad_()
            sample(mine, theirs).backward(upstream)

        return run

    found = {"torch": call(first)}
    if first.ndim == 4:
        found["torch, channels last"] = call(first.contiguous(memory_format=torch.channels_last))
    return found


class Addons:
    """TensorFlow Addons in a process of its own environment, called when its turn comes."""

    def __init__(self, python: Path, shape: tuple[int, ...], threads: int) -> None:
        script = Path(__file__).with_name("sampler_addons.py")
        command = [str(python), str(script), str(threads), ",".join(map(str, shape))]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def call(self, mode: str) -> float:
        """Has it sample once; returns the milliseconds that it took there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(mode + "\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()
