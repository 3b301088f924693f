"""The compiled sampler: importing this package loads its operations into TensorFlow.

Among them is `Addons>Resampler` with its gradient, so that SavedModels made with TensorFlow Addons
load and run. Where the library was not built, or does not load, `load_error` says why, and the
sampler in stock operations (stn_tf/sampling/portable.py) does the work.
"""

import ctypes
import importlib.util
import os
from pathlib import Path
from types import ModuleType

import tensorflow as tf

from stn_tf import libraries

__all__ = [
    "instruction_set",
    "is_available",
    "load_error",
    "onnxruntime_library_path",
    "operations",
    "set_threads",
]


def onnxruntime_library_path() -> str:
    """Returns the path for `SessionOptions.register_custom_ops_library`.

    Raises:
        FileNotFoundError: If the library was not built.
    """
    path = libraries.onnxruntime_library()
    if path is None:
        raise FileNotFoundError(
            f"The sampler for ONNX Runtime is not there: {libraries.missing_reason()}."
        )
    return str(path)


def is_available() -> bool:
    """Whether the operations are loaded."""
    return _operations is not None


def load_error() -> str | None:
    """Says why the operations are not loaded; None if they are."""
    return _error


def operations() -> ModuleType:
    """Returns TensorFlow's module of the operations.

    Raises:
        RuntimeError: If they are not loaded.
    """
    if _operations is None:
        raise RuntimeError(f"The native sampler is not in use: {_error}.")
    return _operations


def instruction_set() -> str:
    """Returns the instruction set in use: `avx512`, `avx2` or `baseline`.

    `STN_TF_INSTRUCTION_SET`, read at the first use, sets an upper limit.

    Raises:
        RuntimeError: If the operations are not loaded.
    """
    operations()
    name = _functions.stn_tf_instruction_set
    name.restype = ctypes.c_char_p
    return str(name().decode())


def set_threads(threads: int) -> None:
    """Sets how many threads one call may use in TensorFlow; 0 for one per processor.

    At import it is `tf.config.threading.get_intra_op_parallelism_threads()`.

    Raises:
        RuntimeError: If the operations are not loaded.
        ValueError: If the number is negative.
    """
    if threads < 0:
        raise ValueError(f"`threads` must be 0 or more, but it is {threads}.")
    operations()
    _functions.stn_tf_set_threads(ctypes.c_int(threads))


def _load(path: Path | None) -> tuple[ModuleType | None, str | None]:
    if path is None:
        return None, libraries.missing_reason()
    # Addons brings its own resampler, and an operation cannot be registered twice.
    if importlib.util.find_spec("tensorflow_addons") is not None:
        os.environ["STN_TF_WITHOUT_ADDONS"] = "1"
    try:
        return tf.load_op_library(str(path)), None
    except (tf.errors.OpError, OSError) as error:
        return None, f"{path.name} does not load: {error}"
    finally:
        os.environ.pop("STN_TF_WITHOUT_ADDONS", None)


_path = libraries.tensorflow_library()
_operations, _error = _load(_path)
if _operations is not None:
    _functions = ctypes.CDLL(str(_path))
    set_threads(tf.config.threading.get_intra_op_parallelism_threads())
    from stn_tf.native import gradients as gradients
