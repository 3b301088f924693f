"""Serves a version's ONNX file in ONNX Runtime, without TensorFlow."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from stn_tf.errors import ModelError
from stn_tf.export.publish.manifest import ONNX_FILE, Manifest
from stn_tf.interface import InputSpec, numpy_dtype
from stn_tf.serving.models.directory import verify_files
from stn_tf.serving.models.encoded_image import decode_image
from stn_tf.serving.models.onnx_session import has_bfloat16, make_session, run
from stn_tf.serving.models.servable import Servable, no_model
from stn_tf.serving.protocol.signature import DEFAULT, PREDICT, Signature, TensorSpec
from stn_tf.serving.protocol.status import Status, invalid

BYTES = "serving_bytes"
IMAGE_BYTES = "image_bytes"
# Those that an export gives to the ONNX file too; others are the SavedModel's own, and so are the
# last two of a model without transformers.
_SIGNATURES = (DEFAULT, "localize", "rectify")
_DECODERS = 4
_TYPES = {
    "float": "float32",
    "double": "float64",
    "float16": "float16",
    "bfloat16": "bfloat16",
    "string": "string",
    "bool": "bool",
} | {f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}


class OnnxServable(Servable):
    """An ONNX Runtime session: on the GPU where there is one, else on the CPU.

    The signatures are those of the manifest: `serving_default`, `localize` and `rectify` are each
    some outputs of the file, and `serving_bytes` decodes images before. A file without a manifest
    has one signature of all inputs and outputs.

    Attributes:
        session: The session, for those who want to tune or profile it.
    """

    def __init__(self, version_dir: Path, *, threads: int | None = None) -> None:
        """Loads `model.onnx` of a version directory.

        Args:
            version_dir: The folder.
            threads: CPU threads of one operation; None takes every core.

        Raises:
            ModelError: If it cannot be loaded, or its weights lie outside of the folder.
        """
        import onnxruntime as ort

        super().__init__(version_dir)
        path = version_dir / ONNX_FILE
        if self.manifest is not None:
            verify_files(version_dir, self.manifest.sha256, [ONNX_FILE])
        _check_external_data(path)
        try:
            self.session = make_session(path, threads)
            inputs = _specs(self.session.get_inputs())
            outputs = _specs(self.session.get_outputs())
        except Exception as error:  # ONNX Runtime's errors share no base class of their own.
            raise no_model(path, f"ONNX Runtime {ort.__version__}", error) from error
        self.signatures = _signatures(self.manifest, inputs, outputs)
        self._bfloat16 = has_bfloat16(self.session)
        self._inputs = inputs
        self._strings = {name for name, spec in outputs.items() if spec.dtype == "string"}
        self._pool = ThreadPoolExecutor(_DECODERS) if BYTES in self.signatures else None

    def run_together(
        self, signatures: Sequence[str], inputs: Mapping[str, np.ndarray], **choices: Any
    ) -> dict[str, np.ndarray]:
        """Computes outputs of several signatures in one go; see `Servable.run_together`."""
        if len({tuple(self.signature(name).inputs) for name in signatures}) != 1:
            return super().run_together(signatures, inputs, **choices)
        fitted, _ = self._prepare(signatures[0], inputs, None, **choices)
        names = {output: None for name in signatures for output in self.signature(name).outputs}
        return self._run(signatures[0], fitted, list(names))

    def _run(
        self, signature: str, inputs: dict[str, np.ndarray], outputs: list[str]
    ) -> dict[str, np.ndarray]:
        if signature == BYTES:
            inputs = {next(iter(self._inputs)): self._decode(inputs[IMAGE_BYTES])}
        feeds = {name: self._feed(name, value) for name, value in inputs.items()}
        empty = [name for name, value in feeds.items() if value.ndim and len(value) == 0]
        for name in empty:
            # Reshape and Flatten of many files cannot tell the size of an empty batch.
            feeds[name] = np.zeros((1, *feeds[name].shape[1:]), feeds[name].dtype)
        try:
            found = run(self.session, outputs, feeds, bfloat16=self._bfloat16)
        except Exception as error:
            raise _refusal(error) from error
        for name in self._strings & found.keys():
            encoded = [str(text).encode() for text in found[name].ravel()]
            found[name] = np.array([*encoded, None], object)[:-1].reshape(found[name].shape)
        if not empty:
            return found
        return {name: value[:0] if value.ndim else value for name, value in found.items()}

    def _feed(self, name: str, value: np.ndarray) -> np.ndarray:
        if self._inputs[name].dtype == "string":
            try:
                texts = [v.decode() if isinstance(v, bytes) else str(v) for v in value.ravel()]
            except UnicodeDecodeError:
                raise invalid(f"`{name}` must hold UTF-8, as strings in ONNX do.") from None
            return np.array([*texts, None], object)[:-1].reshape(value.shape)
        return np.ascontiguousarray(value)

    def _decode(self, encoded: np.ndarray) -> np.ndarray:
        assert self.manifest is not None
        assert self._pool is not None
        spec = self.manifest.interface.image
        if encoded.ndim != 1:
            raise invalid(
                f"`{IMAGE_BYTES}` must have shape [N], but it has shape {list(encoded.shape)}."
            )

        def decode(row: int) -> np.ndarray:
            return decode_image(encoded[row], spec, f"`{IMAGE_BYTES}[{row}]`")[0]

        rows = range(len(encoded))
        images = [decode(0)] if len(rows) == 1 else list(self._pool.map(decode, rows))
        if not images:
            shape = (0, *(1 if length is None else length for length in spec.shape[1:]))
            return np.empty(shape, numpy_dtype(spec.dtype))
        for row, image in enumerate(images):
            if image.shape != images[0].shape:
                raise invalid(
                    f"`{IMAGE_BYTES}` must hold images of one size, because the model takes any, "
                    f"but [0] is {_size(spec, images[0])} and [{row}] is {_size(spec, image)}. "
                    "Send them one by one."
                )
        return np.stack(images)

    def runtime(self, signature: str) -> str:
        return "ONNX Runtime"

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        # The session goes with its last reference, and its memory with it.
        self.__dict__.pop("session", None)


def _signatures(
    manifest: Manifest | None, inputs: dict[str, TensorSpec], outputs: dict[str, TensorSpec]
) -> dict[str, Signature]:
    if manifest is None:
        return {DEFAULT: Signature(PREDICT, inputs, outputs)}
    known = {k: v for k, v in manifest.signatures.items() if set(v) <= set(outputs)}
    found = {
        name: Signature(PREDICT, inputs, {output: outputs[output] for output in known[name]})
        for name in _SIGNATURES[: None if manifest.samplers else 1]
        if name in known
    }
    if BYTES in known and manifest.interface.takes_images:
        encoded = {IMAGE_BYTES: TensorSpec(IMAGE_BYTES, "string", (None,))}
        found[BYTES] = Signature(
            PREDICT, encoded, {output: outputs[output] for output in known[BYTES]}
        )
    return found


def _size(spec: InputSpec, image: np.ndarray) -> str:
    height, width = image.shape[:2] if spec.layout == "NHWC" else image.shape[1:]
    return f"{width} x {height}"


def _specs(arguments: Iterable[Any]) -> dict[str, TensorSpec]:
    found = {}
    for argument in arguments:
        kind = argument.type.removeprefix("tensor(").removesuffix(")")
        if kind not in _TYPES:
            raise ModelError(f"`{argument.name}` is {argument.type}, which cannot be served")
        shape = tuple(length if isinstance(length, int) else None for length in argument.shape)
        found[argument.name] = TensorSpec(argument.name, _TYPES[kind], shape)
    return found


def _refusal(error: Exception) -> Status:
    code = "INVALID_ARGUMENT" if type(error).__name__ == "InvalidArgument" else "INTERNAL"
    return Status(code, " ".join(str(error).split()).rsplit(" : ", 1)[-1])


def _check_external_data(path: Path) -> None:
    """Raises ModelError if weights would be read from outside of the file's folder."""
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:
        raise no_model(path, f"onnx {onnx.__version__}", error) from error
    folder = path.parent.resolve()
    for tensor in _tensors(model):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        location = {entry.key: entry.value for entry in tensor.external_data}.get("location", "")
        if not (folder / location).resolve().is_relative_to(folder) or Path(location).is_absolute():
            raise ModelError(
                f"`{path}` reads `{tensor.name}` from {location!r}, outside of its folder. "
                "Put its weights beside it."
            )


def _tensors(message: Any) -> Iterator[Any]:
    """Every TensorProto in a message, in subgraphs and functions too."""
    if message.DESCRIPTOR.name == "TensorProto":
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for part in [value] if hasattr(value, "DESCRIPTOR") else value:
            yield from _tensors(part)
