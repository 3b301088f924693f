"""What runs an exported model: one interface over ONNX Runtime and TensorFlow."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np

from stn_tf.errors import InputError, ModelError
from stn_tf.export.publish.manifest import ONNX_FILE, SAVED_MODEL_FILE, Manifest
from stn_tf.interface import InputSpec, numpy_dtype, words
from stn_tf.serving.models.directory import find_version

ENGINES = ("auto", "onnx", "saved_model")


class Engine(ABC):
    """A loaded version of a model.

    Attributes:
        name: `onnx` or `saved_model`.
        version_dir: The directory that the model was read from.
        manifest: What the export recorded: interface, samplers, parity.
        input: What the model takes.
    """

    name: ClassVar[str]

    def __init__(self, version_dir: Path, manifest: Manifest) -> None:
        interface = manifest.interface
        self.version_dir = version_dir
        self.manifest = manifest
        # Of a model with several, `image` tells what to do instead.
        self.input: InputSpec = (
            interface.inputs[0] if len(interface.inputs) == 1 else interface.image
        )
        if not self.input.shape:
            raise ModelError(
                f"`{version_dir}` takes one number, `{self.input.name}`, and no batch. "
                "Call its signatures with a TensorFlow Serving client."
            )

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Computes every output of the model for a batch.

        Args:
            images: As the model's interface describes them: shape, layout, type, and range, which
                is not checked. Other widths of floats are cast, and integers where none can be
                lost; floats never become integers, nor integers floats.

        Returns:
            The outputs of the interface, by name. Corners are (x, y) in pixels of the input, pixel
            (0, 0) centred on (0.0, 0.0), from top left clockwise.

        Raises:
            InputError: If shape or type do not fit the model.
        """
        spec = self.input
        batch = _cast(spec, images)
        _check_shape(spec, batch.shape)
        count, size = len(batch), spec.shape[0]
        if count == 0:
            # TensorFlow 2.21 gets the shape of a mean over an empty batch wrong in graphs.
            batch = np.zeros((1, *batch.shape[1:]), batch.dtype)
        if size is not None and len(batch) < size:
            batch = np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])
        outputs = self._run(np.ascontiguousarray(batch))
        if len(batch) == count:
            return outputs
        return {
            name: value[:count] if value.ndim and len(value) == len(batch) else value
            for name, value in outputs.items()
        }

    @abstractmethod
    def _run(self, images: np.ndarray) -> dict[str, np.ndarray]: ...


def load_engine(
    model_dir: Path | str, engine: str = "auto", *, threads: int | None = None
) -> Engine:
    """Loads a model that `stn-tf export` wrote.

    Args:
        model_dir: A version directory, or the folder above, of which the highest version loads.
        engine: `onnx` (ONNX Runtime, never imports TensorFlow), `saved_model` (TensorFlow), or
            `auto`: ONNX Runtime where the version holds an ONNX file.
        threads: CPU threads that one operation may use; None leaves it to the runtime.

    Raises:
        ModelError: If there is no model, or it is damaged.
        ValueError: If `engine` is none of the names above.
    """
    version_dir, engine = choose_engine(model_dir, engine)
    if engine == "onnx":
        from stn_tf.serving.models.onnx_engine import OnnxEngine

        return OnnxEngine(version_dir, threads=threads)
    from stn_tf.serving.models.saved_model_engine import SavedModelEngine

    return SavedModelEngine(version_dir, threads=threads)


def choose_engine(model_dir: Path | str, engine: str = "auto") -> tuple[Path, str]:
    """Returns the version directory and the engine (`onnx`, `saved_model`) that would be loaded.

    Raises:
        ModelError: If there is no model, or none for the engine.
        ValueError: If `engine` is none of `ENGINES`.
    """
    if engine not in ENGINES:
        raise ValueError(f"`engine` must be one of {', '.join(ENGINES)}, but it is {engine!r}.")
    version_dir = find_version(Path(model_dir))
    if engine == "auto":
        engine = "onnx" if (version_dir / ONNX_FILE).is_file() else "saved_model"
    needed = ONNX_FILE if engine == "onnx" else SAVED_MODEL_FILE
    if not (version_dir / needed).is_file():
        other = "saved_model" if engine == "onnx" else "onnx"
        raise ModelError(
            f"`{version_dir}` holds no {needed}, which the engine {engine} needs. "
            f"Use the engine {other}, or export the model again."
        )
    return version_dir, engine


def can_cast(given: np.dtype, wanted: np.dtype) -> bool:
    """Whether values of a type may become another: any width of floats, integers without loss."""
    if given == wanted:
        return True
    floats = [kind.kind == "f" or kind.name == "bfloat16" for kind in (given, wanted)]
    if any(floats):
        return all(floats)
    return given.kind in "biu" and wanted.kind in "iu" and np.can_cast(given, wanted, "safe")


def _cast(spec: InputSpec, values: np.ndarray) -> np.ndarray:
    values, wanted = np.asarray(values), numpy_dtype(spec.dtype)
    if not can_cast(values.dtype, wanted):
        raise InputError(
            f"`{spec.name}` must be {spec.dtype}, but it is {values.dtype}. "
            "Convert it, and scale it as in training."
        )
    return values.astype(wanted, copy=False)


def _check_shape(spec: InputSpec, shape: tuple[int, ...]) -> None:
    size = spec.shape[0]
    fits = len(shape) == len(spec.shape) and all(
        wanted in (None, given) for wanted, given in zip(spec.shape[1:], shape[1:], strict=True)
    )
    if not fits or (size is not None and shape[0] > size):
        raise InputError(
            f"`{spec.name}` must have shape {batch_words(spec)}, but it has shape {list(shape)}."
        )


def batch_words(spec: InputSpec) -> str:
    """Returns the shape of a batch as errors give it: `[N, 28, 28, 1]`, `?` for a free size."""
    first = "N" if spec.shape[0] is None else str(spec.shape[0])
    return f"[{first}, {words(spec.shape[1:])[1:]}"
