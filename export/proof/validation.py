"""Repeats, later and elsewhere, the comparison that an export was held to."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from stn_tf.errors import ExportError
from stn_tf.export.onnx_passes.file import read_onnx
from stn_tf.export.proof import runtimes as proof_runtimes
from stn_tf.export.proof.comparison import Answers, Judge, compare_files, default_alone
from stn_tf.export.proof.expectations import EXPECTATIONS_FILE, read_expectations
from stn_tf.export.proof.runtimes.onnx_runtime import (
    PROVIDERS,
    Placement,
    create_session,
    placement_of,
    runner,
)
from stn_tf.export.publish.manifest import ONNX_FILE, Manifest, ParityRow, hashes, read_manifest


@dataclasses.dataclass(frozen=True)
class Validation:
    """What was found about a version.

    Attributes:
        parity: A row for every output, case and file.
        changed: Files that are not what the manifest says.
        placement: Where ONNX Runtime runs the nodes of the ONNX file; None if it was not asked.
        left_out: Which files were not compared, and why, a line each.
    """

    manifest: Manifest
    parity: tuple[ParityRow, ...]
    changed: tuple[str, ...]
    placement: Placement | None = None
    left_out: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.changed and all(row.passed for row in self.parity)


def validate(
    version_dir: Path | str, *, runtimes: Sequence[str] = (), provider: str = "cpu"
) -> Validation:
    """Compares the files of a version with what the live model said when it was exported.

    TensorFlow is imported for the runtime `tensorflow` alone.

    Args:
        version_dir: The version directory.
        runtimes: What loads the files, of `stn_tf.export.proof.runtimes.RUNTIMES`; empty for those
            that the version has files for.
        provider: `cpu`, or `cuda` to run the ONNX file on a GPU too.

    Raises:
        ModelError: If the folder holds no version, or a file of it cannot be read.
        ExportError: If there is no such runtime or provider on this machine, or it refuses a file.
    """
    folder = Path(version_dir)
    if provider not in PROVIDERS:
        raise ExportError(
            f"`provider` must be one of {', '.join(PROVIDERS)}, but it is {provider!r}."
        )
    manifest = read_manifest(folder)
    expectations = read_expectations(folder / EXPECTATIONS_FILE)
    chosen = list(runtimes) or proof_runtimes.usual(folder)
    if provider != "cpu" and "onnxruntime" not in chosen:
        raise ExportError(
            f"`provider` {provider} is ONNX Runtime's, which `runtimes` leaves out. Add "
            "onnxruntime, or leave the provider out."
        )
    files: dict[str, Answers] = {}
    for name in chosen:
        files |= proof_runtimes.load(name, folder, manifest)
    placement = None
    if "onnxruntime" in chosen:
        session = create_session(folder / ONNX_FILE, provider=provider)
        placement = placement_of(session, read_onnx(folder / ONNX_FILE))
        if provider != "cpu":
            files[f"onnx_runtime/{provider}"] = default_alone(runner(session))
    rows = compare_files(files, expectations, _judge(manifest))
    found = hashes(folder)
    changed = tuple(
        name
        for name in sorted({*manifest.sha256, *found})
        if manifest.sha256.get(name) != found.get(name)
    )
    left_out = () if runtimes else tuple(proof_runtimes.left_out(folder))
    return Validation(manifest, tuple(rows), changed, placement, left_out)


def _judge(manifest: Manifest) -> Judge:
    precision = "float32" if manifest.onnx is None else manifest.onnx.precision
    return Judge(manifest.interface, precision, manifest.tolerance, manifest.samplers)
