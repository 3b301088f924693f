"""Runs ONNX files in ONNX Runtime: one place makes its sessions."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from stn_tf.errors import ExportError
from stn_tf.export.onnx_passes.file import read_onnx
from stn_tf.export.onnx_passes.find import samplers_in
from stn_tf.export.proof.comparison import Answers, Run, default_alone
from stn_tf.export.proof.runtimes import Prepared
from stn_tf.export.publish.manifest import DEFAULT, ONNX_FILE, Manifest
from stn_tf.export.sampler_spec import is_ours
from stn_tf.libraries import onnxruntime_library

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_ERRORS_ONLY = 3


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


def load(folder: Path, manifest: Manifest) -> dict[str, Answers]:
    """Returns the ONNX file: as it is, without optimisations, with our library."""
    path = folder / ONNX_FILE
    return {name: default_alone(run) for name, run in ways_to_run(read_onnx(path), path).items()}


def prepare(folder: Path, manifest: Manifest, threads: int) -> dict[str, Prepared]:
    """Returns the file for timing: without and with our library, where it has our operations."""
    path = folder / ONNX_FILE
    model = read_onnx(path)
    ours = any(map(is_ours, samplers_in(model))) and onnxruntime_library() is not None
    names = list(manifest.signatures[DEFAULT]) if DEFAULT in manifest.signatures else None
    found = {}
    if model.functions or not any(map(is_ours, samplers_in(model))):
        session = create_session(path, ours=False, threads=threads)
        found["onnx_runtime"] = Prepared(runner(session, names), _where(session, model))
    if ours:
        session = create_session(path, threads=threads)
        found["onnx_runtime/ours"] = Prepared(runner(session, names), _where(session, model))
    return found


def _where(session: onnxruntime.InferenceSession, model: onnx.ModelProto) -> str:
    placement = placement_of(session, model)
    told = (
        f"{provider.removesuffix('ExecutionProvider')}: {sum(nodes.values())} nodes"
        for provider, nodes in placement.nodes.items()
    )
    return ", ".join(told)


def create_session(
    file: bytes | Path,
    *,
    ours: bool = True,
    optimised: bool = True,
    provider: str = "cpu",
    threads: int = 0,
) -> onnxruntime.InferenceSession:
    """Returns a session that can tell where its nodes run.

    Args:
        file: The file's content, or where it is; weights outside it are found from there.
        ours: Whether the session gets our operations, where they were compiled.
        optimised: Whether ONNX Runtime may rewrite the graph.
        provider: A key of `PROVIDERS`.
        threads: Of an operation; 0 for as many as there are cores.

    Raises:
        ExportError: If there is no such provider on this machine.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if ours and provider == "cpu":
        register_sampler(options)
    wanted: list = [PROVIDERS["cpu"]]
    if provider == "cuda":
        # TensorFloat-32 keeps 10 bits, too few to compare.
        wanted.insert(0, (PROVIDERS["cuda"], {"use_tf32": 0}))
    given = file if isinstance(file, bytes) else str(file)
    session = onnxruntime.InferenceSession(given, options, providers=wanted)
    if PROVIDERS[provider] not in session.get_providers():
        raise ExportError(
            f"`provider` must be one that works here, but {provider} does not: ONNX Runtime has "
            f"{', '.join(session.get_providers())}. Install a GPU's driver and libraries."
        )
    return session


def register_sampler(options: onnxruntime.SessionOptions) -> None:
    """Gives a session on the CPU the operations of `ai.stn_tf`, where they were compiled."""
    library = onnxruntime_library()
    if library is not None:
        options.register_custom_ops_library(str(library))


def runner(session: onnxruntime.InferenceSession, wanted: list[str] | None = None) -> Run:
    """Returns a function from named inputs to named outputs, all of them or those wanted."""
    names = wanted or [output.name for output in session.get_outputs()]

    def run(feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(names, session.run(names, dict(feeds)), strict=True))

    return run


def onnx_runtime(file: bytes | Path, *, ours: bool = True, optimised: bool = True) -> Run:
    """Returns a file in ONNX Runtime on the CPU; arguments as for `create_session`."""
    return runner(create_session(file, ours=ours, optimised=optimised))


def ways_to_run(model: onnx.ModelProto, file: bytes | Path) -> dict[str, Run]:
    """Returns an ONNX file in ONNX Runtime: as it is, without optimisations, with our library.

    A file whose operations are ours alone runs with our library only.

    Args:
        model: The file; its weights are not looked at.
        file: As for `create_session`.
    """
    ours = any(map(is_ours, samplers_in(model)))
    found: dict[str, Run] = {}
    if model.functions or not ours:
        found["onnx_runtime"] = onnx_runtime(file, ours=False)
        found["onnx_runtime/unoptimised"] = onnx_runtime(file, ours=False, optimised=False)
    if ours and onnxruntime_library() is not None:
        found["onnx_runtime/ours"] = onnx_runtime(file)
    return found


def placement_of(session: onnxruntime.InferenceSession, model: onnx.ModelProto) -> Placement:
    """Returns where the nodes of a file run in a session."""
    counts: dict[str, Counter[str]] = {}
    samplers = []
    kinds = {(node.domain, node.op_type) for node in samplers_in(model)} | {("", "GridSample")}
    for part in session.get_provider_graph_assignment_info():
        for node in part.get_nodes():
            counts.setdefault(part.ep_name, Counter())[node.op_type] += 1
            if (node.domain, node.op_type) in kinds:
                samplers.append(part.ep_name)
    copies = sum(
        count for nodes in counts.values() for kind, count in nodes.items() if "Memcpy" in kind
    )
    return Placement({k: dict(v) for k, v in counts.items()}, tuple(samplers), copies)
