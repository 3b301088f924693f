"""A version of a model as a server sees it: signatures, and named arrays in and out."""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stn_tf.errors import ModelError
from stn_tf.export.publish.manifest import MANIFEST_FILE, Manifest, read_manifest
from stn_tf.serving.models.directory import SAVED_MODEL_FILE
from stn_tf.serving.models.engine import choose_engine
from stn_tf.serving.models.request_rules import check_inputs, check_outputs
from stn_tf.serving.protocol.signature import PREDICT, Signature, TensorSpec
from stn_tf.serving.protocol.status import Status


class Servable(ABC):
    """A loaded version; its methods may be called from many threads at once.

    Attributes:
        signatures: What it computes, by name.
        version_dir: The directory that it was read from.
        manifest: What the export recorded; None for models of other origin.
    """

    signatures: Mapping[str, Signature]

    def __init__(self, version_dir: Path) -> None:
        self.version_dir = version_dir
        self.manifest = _manifest(version_dir)

    def signature(self, name: str) -> Signature:
        """Returns a signature.

        Raises:
            Status: FAILED_PRECONDITION, if there is none of that name.
        """
        found = self.signatures.get(name)
        if found is None:
            raise Status("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
        return found

    def run(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str] | None = None,
        *,
        deadline: float | None = None,
        strict_shapes: bool = False,
    ) -> dict[str, np.ndarray]:
        """Computes outputs of a signature.

        Args:
            signature: One of `signatures`.
            inputs: Exactly the inputs of the signature; strings are arrays of `bytes` objects.
            outputs: Names of outputs, each once, which alone are computed; none for all.
            deadline: When nobody waits for the answer any more, in `time.monotonic` seconds.
            strict_shapes: Whether a shape that is not the signature's is refused here, and not
                left to the model.

        Raises:
            Status: If there is no such signature, input or output, it cannot be computed, or the
                deadline has passed.
        """
        fitted, names = self._prepare(
            signature, inputs, outputs, deadline=deadline, strict_shapes=strict_shapes
        )
        return self._run(signature, fitted, names)

    def run_together(
        self,
        signatures: Sequence[str],
        inputs: Mapping[str, np.ndarray],
        *,
        deadline: float | None = None,
        strict_shapes: bool = False,
    ) -> dict[str, np.ndarray]:
        """Computes all outputs of signatures that take the same inputs, at once where possible.

        The arguments are those of `run`, and so are the errors.
        """
        found: dict[str, np.ndarray] = {}
        for name in signatures:
            found |= self.run(name, inputs, deadline=deadline, strict_shapes=strict_shapes)
        return found

    def _prepare(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str] | None,
        *,
        deadline: float | None = None,
        strict_shapes: bool = False,
    ) -> tuple[dict[str, np.ndarray], list[str]]:
        """The inputs and outputs as `_run` takes them; arguments and errors are those of `run`."""
        found = self.signature(signature)
        values = {name: np.asarray(value) for name, value in inputs.items()}
        check_inputs(found, values, strict_shapes)
        names = list(outputs or found.outputs)
        check_outputs(found, names)
        if deadline is not None and time.monotonic() >= deadline:
            raise Status("DEADLINE_EXCEEDED", "The deadline has passed.")
        return {name: _fit(spec, values[name]) for name, spec in found.inputs.items()}, names

    @abstractmethod
    def _run(
        self, signature: str, inputs: dict[str, np.ndarray], outputs: list[str]
    ) -> dict[str, np.ndarray]: ...

    @abstractmethod
    def runtime(self, signature: str) -> str:
        """Returns the name of what computes a signature: `ONNX Runtime` or `TensorFlow`."""

    @abstractmethod
    def close(self) -> None:
        """Frees the memory of the model; nothing may be computed from now on."""


class BothServable(Servable):
    """An ONNX file, and the SavedModel beside it for what the file does not compute."""

    def __init__(self, onnx: Servable, saved_model: Servable) -> None:
        super().__init__(onnx.version_dir)
        others = _left_to_saved_model(onnx.signatures, saved_model.signatures)
        self._owners = dict.fromkeys(onnx.signatures, onnx) | dict.fromkeys(others, saved_model)
        self.signatures = {
            name: owner.signatures[name] for name, owner in sorted(self._owners.items())
        }
        self._parts = (onnx, saved_model)

    def run_together(
        self, signatures: Sequence[str], inputs: Mapping[str, np.ndarray], **choices: Any
    ) -> dict[str, np.ndarray]:
        """Computes outputs of several signatures; see `Servable.run_together`."""
        for name in signatures:
            self.signature(name)  # Refuses what is not there.
        owners = {self._owners[name] for name in signatures}
        if len(owners) == 1:
            return owners.pop().run_together(signatures, inputs, **choices)
        return super().run_together(signatures, inputs, **choices)

    def _run(
        self, signature: str, inputs: dict[str, np.ndarray], outputs: list[str]
    ) -> dict[str, np.ndarray]:
        return self._owners[signature]._run(signature, inputs, outputs)

    def runtime(self, signature: str) -> str:
        return self._owners[signature].runtime(signature)

    def close(self) -> None:
        for part in self._parts:
            part.close()


def load_servable(
    version_dir: Path | str, engine: str = "auto", threads: int | None = None
) -> Servable:
    """Loads a version directory, of `stn-tf export` or of other origin.

    Args:
        version_dir: A folder with `model.onnx`, a SavedModel, or both.
        engine: `onnx` (ONNX Runtime, never imports TensorFlow), `saved_model` (TensorFlow), or
            `auto`: ONNX Runtime where there is an ONNX file, and TensorFlow for the signatures
            that it lacks, and for classification and regression.
        threads: CPU threads that one operation may use; None leaves it to the runtime.

    Raises:
        ModelError: If there is no model, or it is damaged.
        ValueError: If `engine` is none of the names above.
    """
    version_dir, chosen = choose_engine(version_dir, engine)
    if chosen == "saved_model":
        from stn_tf.serving.models.saved_model_servable import SavedModelServable

        return SavedModelServable(version_dir, threads=threads)
    from stn_tf.serving.models.onnx_servable import OnnxServable

    servable = OnnxServable(version_dir, threads=threads)
    if engine == "auto" and (version_dir / SAVED_MODEL_FILE).is_file():
        from stn_tf.serving.models import saved_model_servable

        try:
            found = saved_model_servable.read_signatures(version_dir)
            if _left_to_saved_model(servable.signatures, found):
                other = saved_model_servable.SavedModelServable(version_dir, threads=threads)
                return BothServable(servable, other)
        except BaseException:
            servable.close()
            raise
    return servable


def _left_to_saved_model(
    onnx: Mapping[str, Signature], saved_model: Mapping[str, Signature]
) -> list[str]:
    """The signatures that the ONNX file lacks, and those for classification and regression."""
    return [
        name
        for name, signature in saved_model.items()
        if name not in onnx or signature.method != PREDICT
    ]


def _manifest(version_dir: Path) -> Manifest | None:
    return read_manifest(version_dir) if (version_dir / MANIFEST_FILE).exists() else None


def _fit(spec: TensorSpec, value: np.ndarray) -> np.ndarray:
    """Lets `[N]` pass for `[N, 1]`, as TensorFlow Serving's clients expect."""
    if spec.shape and spec.shape[-1] == 1 and value.ndim == len(spec.shape) - 1:
        return value[..., None]
    return value


def no_model(path: Path, runtime: str, error: Exception) -> ModelError:
    """Returns the error of a file that a runtime, named with its version, does not load."""
    # "[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Load model from ... failed" -> the last part
    text = " ".join(str(error).split()).rsplit(" : ", 1)[-1] or type(error).__name__
    return ModelError(
        f"`{path}` is no model that {runtime} can load: {text.removesuffix('.')}. "
        "Copy it again or run `stn-tf export`."
    )
