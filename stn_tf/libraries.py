"""Finds the compiled sampler, without importing TensorFlow."""

import json
from pathlib import Path

_FOLDER = Path(__file__).parent / "native"


def tensorflow_library() -> Path | None:
    """Returns the library with the TensorFlow operations, or None where it was not built."""
    return _existing("libstn_tf_tensorflow.so")


def onnxruntime_library() -> Path | None:
    """Returns the library with the ONNX Runtime operations, or None where it was not built."""
    return _existing("libstn_tf_onnxruntime.so")


def missing_reason() -> str:
    """Says why there is no compiled sampler, as recorded when the package was installed."""
    record = _FOLDER / "build.json"
    if not record.is_file():
        return "it was not built: run `python stn_tf/native/build.py` or install the package"
    return str(json.loads(record.read_text()).get("reason", "its file was removed; reinstall"))


def _existing(name: str) -> Path | None:
    path = _FOLDER / name
    return path if path.is_file() else None
