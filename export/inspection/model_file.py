"""What is in a model file, and what of it will surprise in production."""

from collections.abc import Callable
from os import PathLike
from pathlib import Path

from stn_tf.errors import ModelError
from stn_tf.export.inspection.onnx import inspect_onnx
from stn_tf.export.inspection.result import FileInspection, Inspection, Notice
from stn_tf.export.publish.manifest import MANIFEST_FILE, Manifest, hashes, read_manifest
from stn_tf.interface import InputSpec, words

_ONNX, _KERAS, _SAVED_MODEL = ".onnx", ".keras", "saved_model.pb"
_EXPECTED = "an .onnx file, a .keras file, a SavedModel or a version directory of `stn-tf export`"


def inspect_model(path: str | PathLike[str]) -> Inspection:
    """Returns what is in a model: signatures, samplers, sizes, origin, and warnings.

    Nothing is run. ONNX files are read without TensorFlow.

    Args:
        path: An .onnx file, a .keras file, a SavedModel's folder, or a version directory, of which
            both models are read.

    Raises:
        ModelError: If it is none of them, or a file is damaged.
    """
    path = Path(path)
    try:
        is_folder = path.is_dir()
        if not is_folder and not path.exists():
            raise ModelError(f"`path` must be {_EXPECTED}, but there is nothing at `{path}`.")
        if is_folder:
            return _folder(path)
        return Inspection(path=str(path), files=(_file(path),))
    except PermissionError as error:
        raise ModelError(
            f"`{error.filename}` cannot be read: {error.strerror}. Change its permissions."
        ) from None


def _file(path: Path) -> FileInspection:
    if path.suffix == _ONNX:
        return _inspected(path, inspect_onnx)
    if path.name == _SAVED_MODEL:
        return _saved_model(path.parent)
    if path.suffix == _KERAS:
        # Imports TensorFlow.
        from stn_tf.export.inspection.saved_model import inspect_keras

        return _inspected(path, inspect_keras)
    raise ModelError(
        f"`path` must be {_EXPECTED}, but `{path}` ends in {path.suffix!r}. Rename it if it is one."
    )


def _saved_model(folder: Path) -> FileInspection:
    # Imports TensorFlow.
    from stn_tf.export.inspection.saved_model import inspect_saved_model

    return _inspected(folder, inspect_saved_model)


def _inspected(path: Path, inspect: Callable[[Path], FileInspection]) -> FileInspection:
    try:
        return inspect(path)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        # Readable, but its parts contradict each other: a byte of it changed, perhaps.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(
            f"`{path}` must be a whole model, but it is damaged: {reason}. Export or copy it again."
        ) from error


def _folder(folder: Path) -> Inspection:
    files = []
    if (folder / _SAVED_MODEL).exists():
        files.append(_saved_model(folder))
    files += [_inspected(path, inspect_onnx) for path in sorted(folder.glob(f"*{_ONNX}"))]
    if not files:
        versions = sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name.isdigit())
        cure = f" Its versions are {', '.join(versions)}: name one of them." if versions else ""
        raise ModelError(f"`path` must be {_EXPECTED}, but `{folder}` has no model in it.{cure}")
    if not (folder / MANIFEST_FILE).exists():
        return Inspection(path=str(folder), files=tuple(files))
    manifest = read_manifest(folder)
    return Inspection(
        path=str(folder),
        files=tuple(files),
        provenance=_provenance(manifest),
        warnings=tuple(_changes(folder, manifest)),
    )


def _provenance(manifest: Manifest) -> dict[str, str]:
    error, interface = manifest.error_percent, manifest.interface
    classes = interface.class_names
    found = {
        "experiment": manifest.experiment,
        "model": manifest.model,
        "task": interface.task,
        **{f"input {spec.name}": _input(spec) for spec in interface.inputs},
        "classes": str(len(classes) or ""),
        "class names": ", ".join(classes),
        "error_percent": "" if error is None else f"{error:g}",
        "created": manifest.created.isoformat(),
        **{f"version of {name}": version for name, version in manifest.versions.items()},
    }
    # Pixels of decoded files are in grey levels: one of them is no difference to speak of.
    differences = [row.largest_difference for row in manifest.parity if row.output != "pixels"]
    if differences:
        found["largest_difference"] = f"{max(differences):.1e}"
    return {name: value for name, value in found.items() if value}


def _input(spec: InputSpec) -> str:
    """What an input takes, such as `float32 [?, 28, 28, 1], NHWC, grayscale, 0..1, letterbox`."""
    told = [f"{spec.dtype} {words(spec.shape)}"]
    if spec.is_image:
        span = spec.value_range
        told += [spec.layout or "", spec.color_space or ""]
        told.append("range unknown" if span is None else f"{span[0]:g}..{span[1]:g}")
        for name, numbers, plain in (("mean", spec.mean, (0.0,)), ("std", spec.std, (1.0,))):
            if numbers != plain:
                told.append(f"{name} {' '.join(f'{number:g}' for number in numbers)}")
        if spec.decodable and spec.size != (None, None):
            told.append(spec.resize)
    return ", ".join(word for word in told if word)


def _changes(folder: Path, manifest: Manifest) -> list[Notice]:
    """What is no longer as it was exported and compared."""
    now = hashes(folder)
    changed = [name for name, value in manifest.sha256.items() if now.get(name) != value]
    if not changed:
        return []
    text = f"Changed or missing since the export: {', '.join(sorted(changed))}. "
    text += "What was compared is not what is here; export again."
    return [Notice(code="changed", text=text)]
