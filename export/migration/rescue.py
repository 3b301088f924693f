"""Brings SavedModels with compiled samplers, such as TensorFlow Addons', to stock TensorFlow."""

import dataclasses
import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import stn_tf
from stn_tf import native
from stn_tf.errors import ExportError
from stn_tf.export.migration import parity
from stn_tf.export.migration.files import Loaded, read, write
from stn_tf.export.migration.gradients import drop_gradients
from stn_tf.export.migration.graph import refuse_foreign, replace_samplers, scopes
from stn_tf.export.migration.onnx import write_onnx
from stn_tf.export.migration.resampler_nodes import Sampler
from stn_tf.export.onnx_passes.file import read_onnx
from stn_tf.export.onnx_passes.find import opset_of
from stn_tf.export.proof.comparison import Run, require
from stn_tf.export.proof.expectations import EXPECTATIONS_FILE, Expectation, write_expectations
from stn_tf.export.proof.runtimes.onnx_runtime import ways_to_run
from stn_tf.export.publish.manifest import (
    DEFAULT,
    ONNX_FILE,
    Manifest,
    OnnxInfo,
    ParityRow,
    hashes,
    write_manifest,
)
from stn_tf.export.publish.version import OnParity, versions
from stn_tf.export.publish.version_directory import new_version
from stn_tf.export.source.function_network import load_saved_network
from stn_tf.export.tensorflow.saved_model_file import check_stock

REPORT_FILE = "assets.extra/stn_tf_migration.json"
# Contrib's operation under the name that our library registers.
_REFERENCE_NAMES = {"Resampler": "Addons>Resampler"}


@dataclasses.dataclass(frozen=True)
class MigrationResult:
    """A finished migration.

    Attributes:
        version_dir: The new folder, `out/1` or the next number.
        replaced: How many nodes of each operation were replaced.
        dropped: Functions and nodes that computed gradients of samplers, which no signature needs.
        parity: The comparison; empty if there was none.
        not_compared: Which signatures are not in it, and why.
    """

    version_dir: Path
    replaced: Mapping[str, int]
    dropped: tuple[str, ...]
    parity: tuple[ParityRow, ...]
    not_compared: tuple[str, ...]


def migrate(
    saved_model: str | PathLike[str],
    out: str | PathLike[str],
    *,
    signature: str = "serving_default",
    on_parity: OnParity | None = None,
    compare: bool = True,
    onnx: bool = True,
) -> MigrationResult:
    """Writes a SavedModel with stock operations in place of compiled samplers, and an ONNX file.

    The samplers are `Addons>Resampler`, contrib's `Resampler`, and our own `StnTf>GridSample` and
    `StnTf>Warp`; TensorFlow Addons need not be installed. All signatures are compared with the
    original, which the compiled samplers of `stn_tf.native` run.

    Args:
        saved_model: The folder of the SavedModel, of TensorFlow 1 or 2.
        out: The folder that gets the version as a sub-folder.
        signature: The signature that `model.onnx` computes.
        on_parity: Called with the comparison before it is judged.
        compare: Whether to compare; without the compiled samplers it is not possible.
        onnx: Whether to write `model.onnx`.

    Raises:
        ModelError: If `saved_model` holds no SavedModel that loads.
        ExportError: If there is nothing to migrate, the model needs more than samplers, the
            signature is not there, or `out` cannot be written.
        ParityError: If a file does not compute what the model did; nothing is written.
    """
    folder, proto = Path(saved_model), read(Path(saved_model))
    dropped: list[str] = []
    for meta_graph in proto.meta_graphs:
        dropped += drop_gradients(meta_graph)
        refuse_foreign(meta_graph)
    original = _reference(proto)
    replaced: Counter[str] = Counter()
    samplers: set[Sampler] = set()
    for meta_graph in proto.meta_graphs:
        done = replace_samplers(meta_graph)
        replaced += done.replaced
        samplers |= done.samplers
    if not replaced and not dropped:
        raise ExportError(
            f"`{folder}` has nothing to migrate: it holds no compiled sampler and loads in stock "
            "TensorFlow as it is. Give it to `stn-tf export` for the other formats."
        )
    if compare:
        _require_native()
    not_compared = [] if compare else ["left out as asked for; nothing proves that it is the same"]
    rows: list[ParityRow] = []
    with new_version(Path(out)) as version, tempfile.TemporaryDirectory() as aside:
        write(folder, proto, version.path)
        check_stock(version.path)
        new = Loaded(version.path, proto)
        _check_signature(new, signature)
        files: dict[str, Run] = {}
        if onnx:
            files = ways_to_run(write_onnx(new, signature, version.path), version.path / ONNX_FILE)
        if compare:
            write(folder, original, Path(aside), link=True)
            old = Loaded(Path(aside), original)
            rows += parity.compare_samplers(samplers)
            for name in new.signatures:
                reason = parity.refusal(new.inputs(name))
                if reason is not None and name == signature:
                    raise ExportError(
                        f"The signature {name} cannot be compared with the original: {reason}. "
                        "Choose another with --signature, or leave the comparison out with "
                        "--no-compare."
                    )
                if reason is not None:
                    not_compared.append(f"the signature {name}: {reason}")
                    continue
                candidates = {"saved_model": new.answers(name)}
                candidates |= files if name == signature else {}
                rows += parity.compare_models(
                    old.answers(name),
                    candidates,
                    new.inputs(name),
                    samplers,
                    "" if name == signature else f"{name}/",
                )
            if on_parity is not None:
                on_parity(rows)
            require(rows)
            expected = parity.expectations(old.answers(signature), new.inputs(signature), samplers)
        result = MigrationResult(
            version.path, dict(replaced), tuple(dropped), tuple(rows), tuple(not_compared)
        )
        _report(result)
        if compare and signature == DEFAULT:
            _record(result, expected, parity.tolerance_of(samplers))
    return dataclasses.replace(result, version_dir=version.path)


def _check_signature(model: Loaded, signature: str) -> None:
    if signature not in model.signatures:
        raise ExportError(
            f"`signature` must be one of {', '.join(sorted(model.signatures)) or '(none)'}, but "
            f"it is {signature!r}. Choose one with --signature."
        )


def _reference(proto: saved_model_pb2.SavedModel) -> saved_model_pb2.SavedModel:
    """The original, with operations that our library has."""
    reference = saved_model_pb2.SavedModel()
    reference.CopyFrom(proto)
    for meta_graph in reference.meta_graphs:
        for _, nodes in scopes(meta_graph):
            for node in nodes:
                node.op = _REFERENCE_NAMES.get(node.op, node.op)
    return reference


def _require_native() -> None:
    reason = native.load_error()
    if reason is None and not hasattr(native.operations(), "addons_resampler"):
        reason = "TensorFlow Addons is installed here and brings its own resampler"
    if reason is not None:
        raise ExportError(
            "The migrated model cannot be compared with the original, which only the compiled "
            f"sampler can run: {reason}. Leave the comparison out with --no-compare."
        )


def _record(result: MigrationResult, expected: Sequence[Expectation], tolerance: float) -> None:
    """Writes manifest and expectations, with which the version is one like every other.

    A signature that no interface can tell, such as one of inputs of unknown rank, gets none.
    """
    folder = result.version_dir
    try:
        network = load_saved_network(folder)
    except ExportError:
        return
    # Nothing is added to what the model says.
    own = tuple(output for output in network.interface.outputs if not output.derived)
    write_expectations(folder / EXPECTATIONS_FILE, expected)
    path = folder / ONNX_FILE
    onnx_info = None
    if path.is_file():
        onnx_info = OnnxInfo(target="any", sampler="dual", opset=opset_of(read_onnx(path)))
    others = {name: tuple(sorted(f.structured_outputs)) for name, f in network.others.items()}
    manifest = Manifest(
        experiment="",
        model=network.name,
        interface=network.interface.model_copy(update={"outputs": own}),
        signatures={DEFAULT: tuple(output.name for output in own), **others},
        versions=versions(),
        onnx=onnx_info,
        sha256=hashes(folder),
        parity=result.parity,
        tolerance=tolerance,
        created=datetime.now(UTC).replace(microsecond=0),
    )
    write_manifest(folder, manifest)


def _report(result: MigrationResult) -> None:
    path = result.version_dir / REPORT_FILE
    path.parent.mkdir(exist_ok=True)
    content: dict[str, Any] = {
        "stn_tf": stn_tf.__version__,
        "tensorflow": tf.__version__,
        "replaced": dict(result.replaced),
        "dropped": list(result.dropped),
        "not_compared": list(result.not_compared),
        "parity": [row.model_dump() for row in result.parity],
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
