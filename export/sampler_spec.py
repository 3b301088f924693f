"""What a sampler is, in one description that goes from a TensorFlow graph to an ONNX file and back.

Without TensorFlow: `inspect`, the passes on ONNX files and the proofs read it too.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from onnx import NodeProto, helper

DOMAIN = "ai.stn_tf"
GRID_SAMPLE, GRID_SAMPLE_3D = "GridSample", "GridSample3D"
AFFINE, PROJECTIVE = "AffineGridSample", "ProjectiveGridSample"
_MATRICES = {"affine": AFFINE, "projective": PROJECTIVE}

# Beyond this, in normalised coordinates, every kernel reads nothing but padding: the farthest tap
# of the widest kernel leaves a two-pixel image with aligned corners at 5.
_OUTSIDE = 8.0
# Reflection repeats for ever; float32 loses the pixel long before this.
_OUTSIDE_REFLECTED = 1e4
# What ONNX calls kernels, in any of its versions.
_MODES = {"linear": "bilinear", "cubic": "bicubic"}


class SamplerSpec(NamedTuple):
    """How images are read at points.

    Attributes:
        kernel, padding, align_corners: As in `stn_tf.sampling.grid_sample`.
        points: `grid`, or the kind of matrix of which the points are made: `affine`, `projective`.
        dimensions: 2 for images, 3 for volumes.
        size: Where points are made of matrices, height and width of the samples; empty where a
            grid tells it, or where it does not matter.
    """

    kernel: str
    padding: str
    align_corners: bool
    points: str = "grid"
    dimensions: int = 2
    size: tuple[int, ...] = ()

    @property
    def semantics(self) -> dict[str, Any]:
        """What `grid_sample` and `warp` take: kernel, padding, align_corners."""
        return {"kernel": self.kernel, "padding": self.padding, "align_corners": self.align_corners}

    @property
    def operation(self) -> str:
        """The operation of domain `ai.stn_tf` that it is."""
        grid = GRID_SAMPLE_3D if self.dimensions == 3 else GRID_SAMPLE
        return _MATRICES.get(self.points, grid)

    def anywhere(self) -> "SamplerSpec":
        """Returns the same for samples of any size."""
        return self._replace(size=())

    def to_json(self) -> str:
        """Returns what `from_json` reads."""
        return json.dumps(self._asdict())

    @classmethod
    def from_json(cls, text: str | bytes) -> "SamplerSpec":
        """Returns what `to_json` wrote."""
        found = json.loads(text)
        return cls(**{**found, "size": tuple(found["size"])})

    def attributes(self, sizes: Sequence[int]) -> dict[str, Any]:
        """Returns the attributes of its node in an ONNX file.

        `kernel`, `padding`, `align_corners`, and `height` and `width` of those that take matrices,
        are what our library for ONNX Runtime reads. Those that begin with `body_` tell the function
        that stands in for the node elsewhere (export/onnx_passes/functions.py) how to say the same
        with ONNX's GridSample.

        Args:
            sizes: Of the images that it reads, (H, W) or (D, H, W), -1 where unknown.
        """
        size = dict(zip(("height", "width"), self.size, strict=True)) if self.size else {}
        own = {**self.semantics, "align_corners": int(self.align_corners), **size}
        return {**own, **self._body_attributes(sizes)}

    def _body_attributes(self, sizes: Sequence[int]) -> dict[str, Any]:
        """How ONNX's GridSample reads images of `sizes` alike.

        ONNX Runtime up to 1.26 reads an arbitrary pixel where a point is NaN, infinite or beyond
        2**31 pixels, so points are first moved into [`body_low`, `body_high`], per axis x, y(, z),
        NaN to its lower end. ONNX Runtime's fast path on CPUs is for bilinear with zeros and
        without aligned corners only: `body_scale` turns aligned points into others, and moving
        points to the outermost centres turns border into zeros.
        """
        padding, aligned = self.padding, self.align_corners
        limit = _OUTSIDE_REFLECTED if padding == "reflection" else _OUTSIDE
        axes = list(reversed(sizes))
        low, high, scale = [-limit] * len(axes), [limit] * len(axes), [1.0] * len(axes)
        if self.kernel == "bilinear" and padding != "reflection" and min(axes) > 1:
            if padding == "border":
                edges = [1.0 if aligned else 1.0 - 1.0 / size for size in axes]
                low, high, padding = [-edge for edge in edges], edges, "zeros"
            if aligned:
                scale, aligned = [(size - 1.0) / size for size in axes], False
        return {
            "body_mode": self.kernel,
            "body_padding_mode": padding,
            "body_align_corners": int(aligned),
            "body_low": _short(low),
            "body_high": _short(high),
            "body_scale": _short(scale),
        }

    @classmethod
    def of_node(cls, node: NodeProto) -> "SamplerSpec | None":
        """Returns what a node of an ONNX file is: ours or ONNX's GridSample; None for others.

        Of ONNX's own the number of dimensions is not in the node, and told as 2.
        """
        if not is_sampler(node):
            return None
        given = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        given = {k: v.decode() if isinstance(v, bytes) else v for k, v in given.items()}
        aligned = bool(given.get("align_corners", 0))
        if node.domain != DOMAIN:
            mode = given.get("mode", "bilinear")
            return cls(_MODES.get(mode, mode), given.get("padding_mode", "zeros"), aligned)
        points = {operation: kind for kind, operation in _MATRICES.items()}
        return cls(
            str(given.get("kernel")),
            str(given.get("padding")),
            aligned,
            points.get(node.op_type, "grid"),
            3 if node.op_type == GRID_SAMPLE_3D else 2,
            tuple(given[name] for name in ("height", "width") if name in given),
        )


def is_sampler(node: NodeProto) -> bool:
    """Whether a node is a sampler, ours or ONNX's own."""
    return is_ours(node) or (node.domain in ("", "ai.onnx") and node.op_type == GRID_SAMPLE)


def is_ours(node: NodeProto) -> bool:
    """Whether a node is a sampler of domain `ai.stn_tf`."""
    return bool(
        node.domain == DOMAIN and node.op_type in (GRID_SAMPLE, GRID_SAMPLE_3D, *_MATRICES.values())
    )


def _short(values: list[float]) -> list[float]:
    """One value where all are equal: ONNX Runtime is far slower where it repeats pairs."""
    return values[:1] if len(set(values)) == 1 else values
