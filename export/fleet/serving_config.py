"""The files that TensorFlow Serving is started with: which models, and how requests are batched.

    tensorflow_model_server --model_config_file=models.config \\
        --enable_batching --batching_parameters_file=batching.config
"""

import re
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypeAlias

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from stn_tf.export.fleet.text_proto import Value, text_proto, write_text

# `"all"` of them, the latest so many, or exactly these.
Versions: TypeAlias = Literal["all"] | int | Sequence[int]


def write_model_config(
    path: str | PathLike[str],
    models: Mapping[str, str | PathLike[str]],
    *,
    versions: Mapping[str, Versions] | None = None,
    labels: Mapping[str, Mapping[str, int]] | None = None,
) -> Path:
    """Writes TensorFlow Serving's list of models, `--model_config_file`.

    Args:
        path: The file; one that is there already is replaced in one step.
        models: Name -> the folder that holds its versions 1, 2, ... Relative folders become
            absolute, as the server demands; URLs (`s3://...`) stay as they are.
        versions: Name -> which versions to serve; the latest one of models that are not named.
        labels: Name -> label -> version. The server takes labels of versions that it serves.

    Raises:
        ValueError: If a name, version or label cannot be.
        ExportError: If the file cannot be written.
    """
    versions, labels = versions or {}, labels or {}
    if not models:
        raise ValueError("`models` must name at least one model, but it is empty.")
    for argument, found in (("versions", versions), ("labels", labels)):
        if unknown := sorted(set(found) - set(models)):
            raise ValueError(
                f"`{argument}` must name models of `models`, but it names {', '.join(unknown)}."
            )
    config = model_server_config_pb2.ModelServerConfig()
    for name, base_path in models.items():
        if not name:
            raise ValueError("`models` must have names that are not empty.")
        entry = config.model_config_list.config.add(
            name=name, base_path=_absolute(base_path), model_platform="tensorflow"
        )
        if name in versions:
            _set_versions(entry.model_version_policy, name, versions[name])
        for label, version in labels.get(name, {}).items():
            _check_label(name, label, version, versions.get(name))
            entry.version_labels[label] = version
    # Unescaped, so that people can read the names; the file is UTF-8.
    write_text(Path(path), text_format.MessageToString(config, as_utf8=True))
    return Path(path)


def _absolute(base_path: str | PathLike[str]) -> str:
    text = str(base_path)
    return text if re.match(r"\w+://", text) else str(Path(text).absolute())


def _set_versions(policy: Any, name: str, versions: Versions) -> None:
    if versions == "all":
        policy.all.SetInParent()
    elif isinstance(versions, int) and not isinstance(versions, bool) and versions >= 1:
        policy.latest.num_versions = versions
    elif isinstance(versions, Sequence) and versions and all(map(_is_version, versions)):
        policy.specific.versions.extend(versions)
    else:
        raise ValueError(
            f"`versions` of {name!r} must be 'all', a number of versions, at least 1, or a list "
            f"of versions, but it is {versions!r}."
        )


def _check_label(name: str, label: str, version: int, served: Versions | None) -> None:
    if not label or not _is_version(version):
        raise ValueError(f"`labels` of {name!r} must give versions, but {label!r} is {version!r}.")
    if isinstance(served, Sequence) and served != "all" and version not in served:
        raise ValueError(
            f"`labels` of {name!r} must name versions that are served, but {label!r} is {version} "
            f"and the versions are {list(served)}."
        )


def _is_version(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def batch_sizes(largest: int) -> tuple[int, ...]:
    """Returns the powers of two below the largest size, and that."""
    return (*(1 << power for power in range(largest.bit_length()) if 1 << power < largest), largest)


def write_batching_parameters(
    path: str | PathLike[str],
    *,
    max_batch_size: int = 32,
    batch_timeout_micros: int = 1000,
    max_enqueued_batches: int = 100,
    num_batch_threads: int | None = None,
    allowed_batch_sizes: Sequence[int] | None = None,
    pad_variable_length_inputs: bool = False,
    max_execution_batch_size: int | None = None,
) -> Path:
    """Writes how TensorFlow Serving batches requests, `--batching_parameters_file`.

    Args:
        path: The file; one that is there already is replaced in one step.
        max_batch_size: The most images that are computed at once.
        batch_timeout_micros: How long the first request waits for others, in microseconds.
        max_enqueued_batches: How many batches wait before requests are refused.
        num_batch_threads: Batches computed at the same time; None for the server's processors.
        allowed_batch_sizes: Batches are filled up to one of these, so that few sizes are ever
            computed; None for the powers of two and the largest size.
        pad_variable_length_inputs: Whether images of different sizes share a batch, padded with
            zeros. Samplers would see the zeros as part of the image.
        max_execution_batch_size: Splits requests larger than this; `max_batch_size` is then the
            most that one request may hold.

    Raises:
        ValueError: If a number is out of its range.
        ExportError: If the file cannot be written.
    """
    for argument, value, least in (
        ("max_batch_size", max_batch_size, 1),
        ("batch_timeout_micros", batch_timeout_micros, 0),
        ("max_enqueued_batches", max_enqueued_batches, 1),
        ("num_batch_threads", num_batch_threads, 1),
        ("max_execution_batch_size", max_execution_batch_size, 1),
    ):
        if value is not None and value < least:
            raise ValueError(f"`{argument}` must be at least {least}, but it is {value}.")
    largest = max_execution_batch_size or max_batch_size
    if largest > max_batch_size:
        raise ValueError(
            f"`max_execution_batch_size` must be at most `max_batch_size`, {max_batch_size}, but "
            f"it is {largest}."
        )
    sizes = tuple(allowed_batch_sizes or batch_sizes(largest))
    if list(sizes) != sorted(set(sizes)) or sizes[0] < 1 or sizes[-1] != largest:
        raise ValueError(
            f"`allowed_batch_sizes` must grow from at least 1 and end in {largest}, the largest "
            f"batch, but they are {list(sizes)}."
        )
    numbers = {
        "max_batch_size": max_batch_size,
        "batch_timeout_micros": batch_timeout_micros,
        "max_enqueued_batches": max_enqueued_batches,
        "num_batch_threads": num_batch_threads,
        "enable_large_batch_splitting": True if max_execution_batch_size else None,
        "max_execution_batch_size": max_execution_batch_size,
    }
    fields: dict[str, Value] = {
        name: {"value": value} for name, value in numbers.items() if value is not None
    }
    fields["allowed_batch_sizes"] = sizes
    fields["pad_variable_length_inputs"] = pad_variable_length_inputs
    write_text(Path(path), text_proto(fields))
    return Path(path)
