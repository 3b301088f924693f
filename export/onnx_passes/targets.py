"""What the runtimes that an ONNX file can be for know, and what is refused because they do not."""

import dataclasses
from collections.abc import Iterable
from typing import Literal

from stn_tf.errors import ExportError
from stn_tf.export.sampler_spec import SamplerSpec

SAMPLERS = ("dual", "standard", "custom")
PRECISIONS = ("float32", "float16", "int8")
FORMATS = ("saved_model", "onnx", "litert")
# GridSample came with 16; onnx, ONNX Runtime and the converter are known to agree up to 22.
OPSETS = range(16, 23)
# The newest that tf2onnx 1.17 writes, and the newest in which TensorRT reads bilinear samplers as
# bilinear.
OPSET = 18
# The first with GridSample for volumes.
OPSET_VOLUMES = 20


def _choose(argument: str, value: str, choices: Iterable[str]) -> None:
    if value not in choices:
        raise ExportError(f"`{argument}` must be one of {', '.join(choices)}, but it is {value!r}.")


@dataclasses.dataclass(frozen=True)
class Target:
    """A runtime.

    Attributes:
        sampler: The form of its samplers unless another is asked for.
        functions: Whether it reads model-local functions.
        ours: Whether our library for ONNX Runtime works in it.
        newest: The newest opset whose GridSample it reads rightly.
        volumes: Whether its GridSample reads volumes.
        kernels: The kernels of its GridSample.
    """

    sampler: str = "standard"
    functions: bool = False
    ours: bool = False
    newest: int = OPSETS[-1]
    volumes: bool = False
    kernels: tuple[str, ...] = ("bilinear", "nearest", "bicubic")


# `any` is the default: one file that is safe everywhere.
TARGETS = {
    "any": Target("dual", functions=True, ours=True, volumes=True),
    "ort-cpu": Target("dual", functions=True, ours=True, volumes=True),
    "ort-cuda": Target(functions=True, volumes=True),
    "tensorrt": Target(newest=19),
    "openvino": Target(),
    "coreml": Target(kernels=("bilinear",)),
}


@dataclasses.dataclass(frozen=True)
class OnnxOptions:
    """How an ONNX file is to be written.

    Attributes:
        target: A key of `TARGETS`.
        sampler: `dual` (our operation, with a function that stands in for it), `standard`
            (GridSample) or `custom` (our operation alone); None for what suits the target.
        opset: None for 18, or 20 for volumes.
    """

    target: str = "any"
    sampler: str | None = None
    opset: int | None = None

    def __post_init__(self) -> None:
        _choose("target", self.target, TARGETS)
        if self.sampler is not None:
            _choose("sampler", self.sampler, SAMPLERS)
        if self.opset is not None and self.opset not in OPSETS:
            raise ExportError(
                f"`opset` must be in {OPSETS[0]}..{OPSETS[-1]}, but it is {self.opset}: GridSample "
                "came with 16, and newer ones than the last were not tried. Leave it out for "
                f"{OPSET}."
            )

    @property
    def form(self) -> str:
        """The form of the samplers."""
        return self.sampler or TARGETS[self.target].sampler

    def resolve(self, samplers: Iterable[SamplerSpec]) -> int:
        """Returns the opset for a network that samples so.

        Raises:
            ExportError: If the target would not compute what the network does.
        """
        name, target = self.target, TARGETS[self.target]
        found = set(samplers)
        volumes = any(spec.dimensions == 3 for spec in found)
        opset = self.opset or (OPSET_VOLUMES if volumes else OPSET)
        if self.form == "custom" and not target.ours:
            raise ExportError(
                f"`sampler` must not be custom for target {name}, which cannot run our operation. "
                "Leave it out."
            )
        if self.form == "dual" and not target.functions:
            raise ExportError(
                f"`sampler` must be standard for target {name}, which may not read functions "
                "within a file. Leave it out."
            )
        if found and opset > target.newest:
            raise ExportError(
                f"`opset` must be at most {target.newest} for target {name}, but it is {opset}: "
                "newer samplers are imported as nearest-neighbour without a word. Leave it out "
                f"for {OPSET}."
            )
        if volumes and not target.volumes:
            raise ExportError(
                f"`target` must not be {name} for a network that samples volumes: its GridSample "
                "reads images only. Use ort-cpu or ort-cuda."
            )
        if volumes and opset < OPSET_VOLUMES:
            raise ExportError(
                f"`opset` must be at least {OPSET_VOLUMES} for a network that samples volumes, "
                f"but it is {opset}. Leave it out."
            )
        for spec in sorted(found):
            if spec.kernel == "bicubic" and spec.dimensions == 3 and self.form != "custom":
                # ONNX Runtime 1.32, too. Our library computes it.
                custom = "sampler custom and our library, or " if target.ours else ""
                raise ExportError(
                    f"`sampler` must not be {self.form} for a network that samples volumes with "
                    f"kernel bicubic, which ONNX Runtime's GridSample refuses. Use {custom}kernel "
                    "bilinear."
                )
            if spec.kernel not in target.kernels:
                raise ExportError(
                    f"`target` must not be {name} for a sampler with kernel {spec.kernel}: it "
                    f"knows {', '.join(target.kernels)} only. Use ort-cpu or ort-cuda."
                )
            if name == "coreml" and spec.padding == "reflection" and not spec.align_corners:
                raise ExportError(
                    "`target` must not be coreml for a sampler with padding reflection and "
                    "align_corners=False, which it lacks. Use ort-cpu or ort-cuda."
                )
        return opset


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """What a version is for.

    Attributes:
        onnx: How its ONNX file is written.
        precision: Of the ONNX file: `float32`, `float16` or `int8`.
        max_accuracy_drop: By how many points less precision may raise the error.
        xla: Whether a server compiles the SavedModel with XLA.
        formats: Which files it has, of `saved_model`, `onnx` and `litert`.
    """

    onnx: OnnxOptions = OnnxOptions()
    precision: Literal["float32", "float16", "int8"] = "float32"
    max_accuracy_drop: float = 0.3
    xla: bool = False
    formats: tuple[str, ...] = ("saved_model", "onnx")

    def __post_init__(self) -> None:
        _choose("precision", self.precision, PRECISIONS)
        for name in self.formats or ("",):
            _choose("formats", name, FORMATS)
        if self.precision != "float32" and "onnx" not in self.formats:
            raise ExportError(
                f"`precision` {self.precision} is for model.onnx, which `formats` leaves out. Add "
                "onnx, or take float32."
            )
