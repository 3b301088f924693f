"""Finds the version directory of a model on disk, by TensorFlow Serving's rules."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from stn_tf.errors import ModelError
from stn_tf.export.publish.manifest import ONNX_FILE, SAVED_MODEL_FILE


def versions(base_path: Path) -> dict[int, Path]:
    """Returns the version directories in a base path, lowest version first.

    A version is a sub-folder named by a whole number: `00000123` is version 123. Other names are
    ignored, so a version that is still being written under another name is not seen.
    """
    found = {
        int(entry.name): entry
        for entry in sorted(base_path.iterdir())
        if entry.name.isascii() and entry.name.isdigit() and entry.is_dir()
    }
    return dict(sorted(found.items()))


def find_version(model_dir: Path) -> Path:
    """Returns the version directory to load: `model_dir` itself, or its highest version.

    Raises:
        ModelError: If there is no such folder, no version in it, or no model in the version.
    """
    model_dir = Path(model_dir)
    if not model_dir.is_dir():
        kind = "is a file, not a folder" if model_dir.exists() else "does not exist"
        raise ModelError(
            f"`{model_dir}` {kind}. Give the folder that `stn-tf export RUN --out DIR` wrote."
        )
    if _holds_model(model_dir):
        return model_dir
    found = versions(model_dir)
    if not found and not (model_dir.name.isascii() and model_dir.name.isdigit()):
        raise ModelError(
            f"`{model_dir}` holds no model: it has no sub-folder named by a version number. "
            f"Write one with `stn-tf export RUN --out {model_dir}`."
        )
    version_dir = found[max(found)] if found else model_dir
    if not _holds_model(version_dir):
        raise ModelError(
            f"`{version_dir}` holds neither {ONNX_FILE} nor {SAVED_MODEL_FILE}. "
            "Write a new version with `stn-tf export`, or name another one."
        )
    return version_dir


def verify_files(version_dir: Path, sha256: Mapping[str, str], names: list[str]) -> None:
    """Raises ModelError if one of the files is missing or is not the one that was exported.

    A flipped bit in the weights still loads and still answers; only the hash tells.

    Args:
        version_dir: The version directory.
        sha256: Hash of each exported file, by path relative to the directory.
        names: The files to check, those that an engine reads; without a hash they pass.
    """
    for name in names:
        if name not in sha256:
            continue
        path = version_dir / name
        if not path.is_file():
            raise ModelError(f"`{path}` is missing. Write a new version with `stn-tf export`.")
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256[name]:
                raise ModelError(
                    f"`{path}` is damaged: it is not the file that was exported (its SHA-256 "
                    "differs from the manifest's). Copy it again or run `stn-tf export`."
                )


def _holds_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (ONNX_FILE, SAVED_MODEL_FILE))
