"""A model repository for NVIDIA Triton, whose ONNX Runtime backend runs the ONNX file.

repository/NAME/config.pbtxt    what Triton needs to know, read from the file
repository/NAME/labels.txt      the names of the classes, a line each
repository/NAME/1/model.onnx    the next version is 2
"""

import re
import shutil
from os import PathLike
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from stn_tf.errors import ExportError, ModelError
from stn_tf.export.fleet.serving_config import batch_sizes
from stn_tf.export.fleet.text_proto import Name, Value, text_proto, write_text
from stn_tf.export.onnx_passes.file import read_onnx
from stn_tf.export.publish.manifest import MANIFEST_FILE, ONNX_FILE, read_manifest
from stn_tf.export.publish.version_directory import new_version

CONFIG_FILE, LABELS_FILE = "config.pbtxt", "labels.txt"
_TYPES: dict[int, str] = {
    TensorProto.BOOL: "TYPE_BOOL",
    TensorProto.UINT8: "TYPE_UINT8",
    TensorProto.UINT16: "TYPE_UINT16",
    TensorProto.UINT32: "TYPE_UINT32",
    TensorProto.UINT64: "TYPE_UINT64",
    TensorProto.INT8: "TYPE_INT8",
    TensorProto.INT16: "TYPE_INT16",
    TensorProto.INT32: "TYPE_INT32",
    TensorProto.INT64: "TYPE_INT64",
    TensorProto.FLOAT16: "TYPE_FP16",
    TensorProto.FLOAT: "TYPE_FP32",
    TensorProto.DOUBLE: "TYPE_FP64",
    TensorProto.STRING: "TYPE_STRING",
    TensorProto.BFLOAT16: "TYPE_BF16",
}


def write_model_repository(
    version_dir: str | PathLike[str],
    repository: str | PathLike[str],
    *,
    name: str | None = None,
    max_batch_size: int = 32,
    queue_delay_microseconds: int = 1000,
    instances: int = 1,
    op_library: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Adds the ONNX file of an export to a Triton model repository, as the model's next version.

    A file in dual form has functions of domain `ai.stn_tf` in it, which the ONNX Runtime in Triton
    inlines: it needs nothing of ours. With `op_library` it computes samplers with our library.

    Args:
        version_dir: A version directory that `stn-tf export` wrote.
        repository: The folder that Triton is started with.
        name: What Triton calls the model; None for the name of the folder around `version_dir`.
        max_batch_size: The most images that are computed at once.
        queue_delay_microseconds: How long the first request waits for others to share its batch.
        instances: How many copies of the model run on each GPU, or on the CPU.
        op_library: Where Triton finds our library for ONNX Runtime, on its own machine; built for
            the ONNX Runtime that it has.
        overwrite: Whether another `config.pbtxt` or `labels.txt` of this model may be replaced.

    Returns:
        The folder of the new version, `repository/NAME/1` or the next number.

    Raises:
        ModelError: If there is no ONNX file that Triton can batch.
        ExportError: If the repository cannot be written, or its files must not be overwritten.
        ValueError: If a number is out of its range.

    Source: https://github.com/triton-inference-server/server/blob/main/docs/user_guide.
    """
    version_dir = Path(version_dir)
    for argument, value, least in (
        ("max_batch_size", max_batch_size, 1),
        ("queue_delay_microseconds", queue_delay_microseconds, 0),
        ("instances", instances, 1),
    ):
        if value < least:
            raise ValueError(f"`{argument}` must be at least {least}, but it is {value}.")
    name = version_dir.resolve().parent.name if name is None else name
    if not re.fullmatch(r"\w[\w.-]*", name, re.ASCII):
        raise ValueError(
            f"`name` must be of letters, digits, '_', '.' and '-', but it is {name!r}. "
            "Give another."
        )
    model = read_onnx(version_dir / ONNX_FILE)
    has_manifest = (version_dir / MANIFEST_FILE).exists()
    manifest = read_manifest(version_dir) if has_manifest else None
    interface = manifest.interface if manifest else None
    classes = interface.class_names if interface else ()
    # Triton's classification extension ranks their numbers; `class` has no classes to rank.
    ranked = (*interface.named("logits"), *interface.named("probabilities")) if interface else ()
    fields = _config(model, name, max_batch_size, queue_delay_microseconds, len(classes), ranked)
    # ONNX Runtime uses all processors for one image: more copies would get in each other's way.
    fields["instance_group"] = [{"count": instances}]
    if op_library is not None:
        fields["model_operations"] = {"op_library_filename": [op_library]}
    files = {CONFIG_FILE: text_proto(fields)}
    if LABELS_FILE in files[CONFIG_FILE]:
        files = {LABELS_FILE: "".join(f"{' '.join(c.split())}\n" for c in classes), **files}
    folder = Path(repository) / name
    for file, text in files.items():
        _check_same(folder / file, text, overwrite)
    with new_version(folder) as version:
        try:
            shutil.copyfile(version_dir / ONNX_FILE, version.path / ONNX_FILE)
        except OSError as error:
            raise ExportError(
                f"`{folder}` cannot be written: {error.strerror}. Choose another repository."
            ) from error
        for file, text in files.items():
            write_text(folder / file, text)
    return version.path


def _config(
    model: onnx.ModelProto,
    name: str,
    largest: int,
    delay: int,
    classes: int,
    ranked: tuple[str, ...],
) -> dict[str, Value]:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [_tensor(value) for value in model.graph.input if value.name not in weights]
    outputs = [_tensor(value) for value in model.graph.output]
    for output in outputs:
        if output["name"] in ranked and output["dims"] == [classes]:
            output["label_filename"] = LABELS_FILE
    # No `optimization`: the backend's default is every optimisation of ONNX Runtime.
    fields: dict[str, Value] = {
        "name": name,
        "backend": "onnxruntime",
        "max_batch_size": largest,
        "input": inputs,
        "output": outputs,
    }
    sizes = [1, largest] if largest > 1 else [1]
    if largest > 1:
        # Only large ones: a batch of a preferred size is computed without waiting for more.
        fields["dynamic_batching"] = {
            "preferred_batch_size": [size for size in batch_sizes(largest)[-3:] if size > 1],
            "max_queue_delay_microseconds": delay,
        }
    if -1 not in (size for value in inputs for size in value["dims"]):
        # Not random data, which are random bits: NaN, infinite and huge numbers among them.
        data: list[Value] = [
            {
                "key": value["name"],
                "value": {
                    "data_type": value["data_type"],
                    "dims": value["dims"],
                    "zero_data": True,
                },
            }
            for value in inputs
        ]
        fields["model_warmup"] = [
            {"name": f"batch_of_{size}", "batch_size": size, "inputs": data} for size in sizes
        ]
    return fields


def _tensor(value: onnx.ValueInfoProto) -> dict[str, Any]:
    kind = value.type.tensor_type
    sizes = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in kind.shape.dim]
    if kind.elem_type not in _TYPES:
        raise ModelError(
            f"`{value.name}` must be a tensor of a type that Triton has, but it is "
            f"{TensorProto.DataType.Name(kind.elem_type)}. Export the model again."
        )
    if not sizes or sizes[0] != -1:
        raise ModelError(
            f"`{value.name}` must have the batch as its first dimension, of any size, but its "
            f"shape is {sizes}. Export the model again with a free batch dimension."
        )
    fields: dict[str, Any] = {"name": value.name, "data_type": Name(_TYPES[kind.elem_type])}
    # Triton refuses empty `dims`: one number for each image is [1], reshaped to none.
    fields["dims"] = sizes[1:] or [1]
    if not sizes[1:]:
        fields["reshape"] = {"shape": ()}
    return fields


def _check_same(path: Path, text: str, overwrite: bool) -> None:
    try:
        there = path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, UnicodeDecodeError):
        there = ""
    if there != text and not overwrite:
        raise ExportError(
            f"`{path}` is there already and differs, and it is for all versions of the model. "
            "Choose another name, or allow it to be overwritten."
        )
