"""Repeats, later and elsewhere, the comparison that an export was held to."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from stn_tf.errors import ExportError, ModelError
from stn_tf.export.conversion.onnx_file import ONNX_FILE
from stn_tf.export.onnx_passes.find import samplers_in
from stn_tf.export.proof.candidates import (
    Answers,
    default_alone,
    load_saved_model,
    onnx_runtimes,
    saved_model,
)
from stn_tf.export.proof.expectations import (
    EXPECTATIONS_FILE,
    read_expectations,
    without_tensor_float_32,
)
from stn_tf.export.proof.onnx_runtimes import register_sampler
from stn_tf.export.proof.parity import Judge, compare_files
from stn_tf.export.publish.manifest import Manifest, ParityRow, hashes, read_manifest
from stn_tf.export.sampler_spec import DOMAIN

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where the nodes of an ONNX file run.

    Attributes:
        nodes: Provider -> type of node -> how many.
        samplers: Provider of each sampler.
        copies: Nodes that copy between devices.
    """

    nodes: dict[str, dict[str, int]]
    samplers: tuple[str, ...]
    copies: int


@dataclasses.dataclass(frozen=True)
class Validation:
    """What was found about a version.

    Attributes:
        parity: A row for every output, case and file.
        changed: Files that are not what the manifest says.
    """

    manifest: Manifest
    parity: tuple[ParityRow, ...]
    changed: tuple[str, ...]
    placement: Placement

    @property
    def passed(self) -> bool:
        return not self.changed and all(row.passed for row in self.parity)


def validate(version_dir: Path | str, *, provider: str = "cpu") -> Validation:
    """Compares the files of a version with what the live model said when it was exported.

    Args:
        version_dir: The version directory.
        provider: `cpu`, or `cuda` to run the ONNX file on a GPU too.

    Raises:
        ModelError: If the folder holds no version, or a file of it cannot be read.
        ExportError: If there is no such provider on this machine.
    """
    folder = Path(version_dir)
    if provider not in PROVIDERS:
        raise ExportError(
            f"`provider` must be one of {', '.join(PROVIDERS)}, but it is {provider!r}."
        )
    available = onnxruntime.get_available_providers()
    manifest = read_manifest(folder)
    expectations = read_expectations(folder / EXPECTATIONS_FILE)
    loaded = load_saved_model(folder)
    files: dict[str, Answers] = {"saved_model": saved_model(loaded, looks=bool(manifest.samplers))}
    model = load_onnx(folder / ONNX_FILE)
    files |= {name: default_alone(run) for name, run in onnx_runtimes(model).items()}
    session = _session(model, provider)
    if provider != "cpu":
        if (
            PROVIDERS[provider] not in available
            or PROVIDERS[provider] not in session.get_providers()
        ):
            raise ExportError(
                f"`provider` must be one that works here, but {provider} does not: ONNX Runtime "
                f"has {', '.join(session.get_providers())}. Install a GPU's driver and libraries."
            )
        files[f"onnx_runtime/{provider}"] = _answers(session)
    with without_tensor_float_32():
        rows = compare_files(files, expectations, _judge(manifest))
    found = hashes(folder)
    changed = tuple(
        name
        for name in sorted({*manifest.sha256, *found})
        if manifest.sha256.get(name) != found.get(name)
    )
    return Validation(manifest, tuple(rows), changed, _placement(session, model))


def load_onnx(path: Path) -> onnx.ModelProto:
    """Reads an ONNX file.

    Raises:
        ModelError: If it is none.
    """
    try:
        return onnx.load(path)
    except Exception as error:  # Protobuf raises kinds of its own.
        reason = " ".join(str(error).split())
        raise ModelError(f"`{path}` is no ONNX file that loads: {reason}. Export again.") from error


def _session(model: onnx.ModelProto, provider: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if provider == "cpu":
        register_sampler(options)
    wanted: list = [PROVIDERS["cpu"]]
    if provider == "cuda":
        wanted.insert(0, (PROVIDERS["cuda"], {"use_tf32": 0}))
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=wanted)


def _judge(manifest: Manifest) -> Judge:
    precision = "float32" if manifest.onnx is None else manifest.onnx.precision
    return Judge(manifest.interface, precision, manifest.tolerance, manifest.samplers)


def _answers(session: onnxruntime.InferenceSession) -> Answers:
    names = [output.name for output in session.get_outputs()]

    def run(feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(names, session.run(names, dict(feeds)), strict=True))

    return default_alone(run)


def _placement(session: onnxruntime.InferenceSession, model: onnx.ModelProto) -> Placement:
    counts: dict[str, Counter[str]] = {}
    samplers = []
    names = {DOMAIN, ""}
    kinds = {node.op_type for node in samplers_in(model)}
    for part in session.get_provider_graph_assignment_info():
        for node in part.get_nodes():
            counts.setdefault(part.ep_name, Counter())[node.op_type] += 1
            ours = node.op_type in kinds and node.domain in names
            if ours or (node.op_type == "GridSample" and node.domain in names):
                samplers.append(part.ep_name)
    copies = sum(
        count for nodes in counts.values() for kind, count in nodes.items() if "Memcpy" in kind
    )
    return Placement({k: dict(v) for k, v in counts.items()}, tuple(samplers), copies)
