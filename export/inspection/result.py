"""What `inspection.inspect_model` finds."""

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Tensor(_Part):
    """An input or output; dimensions without a fixed size are None, or named in ONNX."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None


class SamplerUse(_Part):
    """A place where a model samples images.

    Attributes:
        operation: The operation, or the name that a function of stock operations goes by.
        transform: The family of its matrices; None if it takes points.
        kernel: None, as `padding` and `align_corners`, where the operation has no such choice.
        samples: The shape of what it returns for one image, if it is known.
    """

    operation: str
    transform: str | None = None
    kernel: str | None = None
    padding: str | None = None
    align_corners: bool | None = None
    samples: tuple[int, ...] | None = None


class Notice(_Part):
    """Something about a file that surprises somewhere; `code` is for programs."""

    code: str
    text: str


class Signature(_Part):
    """One way of calling a model; an ONNX file or Keras model has one.

    Attributes:
        flops_per_image: Additions and multiplications of convolutions, matrix products and
            samplers for one image; None where a size is not known.
    """

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    samplers: tuple[SamplerUse, ...] = ()
    flops_per_image: int | None = None


class FileInspection(_Part):
    """One model file.

    Attributes:
        kind: `onnx`, `saved_model` or `keras`.
        opsets: Of an ONNX file, the version of each domain of operations.
        parameters: How many numbers its weights are.
        operations: How often each operation occurs.
        provenance: What the file says of its making.
    """

    file: str
    kind: str
    signatures: tuple[Signature, ...]
    parameters: int
    opsets: dict[str, int] = {}
    ir_version: int | None = None
    operations: dict[str, int] = {}
    provenance: dict[str, str] = {}
    warnings: tuple[Notice, ...] = ()


class Inspection(_Part):
    """The files of a model; a version directory has two.

    Attributes:
        provenance: What the manifest of a version directory says.
        warnings: Of the version directory as a whole.
    """

    path: str
    files: tuple[FileInspection, ...]
    provenance: dict[str, str] = {}
    warnings: tuple[Notice, ...] = ()

    @property
    def all_warnings(self) -> Iterable[tuple[str, Notice]]:
        """Every warning, with the file that it is about."""
        yield from (("", notice) for notice in self.warnings)
        yield from ((file.file, notice) for file in self.files for notice in file.warnings)
