"""What runs an exported model: one interface over ONNX Runtime and TensorFlow."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np

from stn_tf.errors import InputError, ModelError
from stn_tf.export.manifest import Manifest
from stn_tf.serving.models.directory import ONNX_FILE, SAVED_MODEL_FILE, find_version

ENGINES = ("auto", "onnx", "saved_model")


class Engine(ABC):
    """A loaded version of a model.

    Attributes:
        name: `onnx` or `saved_model`.
        version_dir: The directory that the model was read from.
        manifest: What the export recorded: classes, input size, samplers, parity.
    """

    name: ClassVar[str]

    def __init__(self, version_dir: Path, manifest: Manifest) -> None:
        self.version_dir = version_dir
        self.manifest = manifest

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Computes every output of the model for a batch.

        Args:
            images: `[N, height, width, channels]`, floats in 0..1, of the size in the manifest.

        Returns:
            `logits` and `probabilities` `[N, classes]`, `class` `[N]` (int64), and for a model
            with a transformer `theta`, `corners` `[N, 4, 2]` and `crops` (a second transformer's
            end in `_2`, and so on). Corners are (x, y) in pixels of the input, pixel (0, 0)
            centred on (0.0, 0.0), from top-left clockwise.

        Raises:
            InputError: If the shape does not fit the model.
        """
        wanted = self.manifest.images
        shape = (wanted.height, wanted.width, wanted.channels)
        if images.ndim != 4 or images.shape[1:] != shape:
            raise InputError(
                f"`images` must have shape [N, {', '.join(map(str, shape))}], "
                f"but it has shape {list(images.shape)}."
            )
        if len(images) == 0:
            # TensorFlow 2.21 gets the shape of a mean over an empty batch wrong in graphs.
            one = self._run(np.zeros((1, *shape), np.float32))
            return {name: value[:0] for name, value in one.items()}
        return self._run(np.ascontiguousarray(images, np.float32))

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
