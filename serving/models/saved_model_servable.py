"""Serves a version's SavedModel in TensorFlow: any signature, also those of TensorFlow 1."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stn_tf.serving.models.directory import SAVED_MODEL_FILE, verify_files
from stn_tf.serving.models.servable import Servable, no_model
from stn_tf.serving.protocol import messages, signature_def
from stn_tf.serving.protocol.enums import CODES
from stn_tf.serving.protocol.signature import Signature
from stn_tf.serving.protocol.status import Status, invalid

_TAG = "serve"
_CODE_NAMES = {number: name for name, number in CODES.items()}


class SavedModelServable(Servable):
    """A session of TensorFlow, as TensorFlow Serving runs it: only what is asked for is computed.

    A session has threads and memory of its own, which a function of TensorFlow 2 does not, and
    takes the signatures of either.
    """

    def __init__(self, version_dir: Path, *, threads: int | None = None) -> None:
        """Loads `saved_model.pb` and `variables/` of a version directory.

        Args:
            version_dir: The folder.
            threads: CPU threads of one operation; None takes every core.

        Raises:
            ModelError: If it cannot be loaded.
        """
        super().__init__(version_dir)
        if self.manifest is not None:
            hashes = self.manifest.sha256
            read = (SAVED_MODEL_FILE, "variables/", "assets/")
            verify_files(version_dir, hashes, [name for name in hashes if name.startswith(read)])
        import tensorflow as tf

        config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=threads or 0)
        config.gpu_options.allow_growth = True  # ONNX Runtime may be there, too.
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        try:
            with self._session.graph.as_default():
                meta_graph = tf.compat.v1.saved_model.load(self._session, [_TAG], str(version_dir))
        except Exception as error:  # TensorFlow raises a dozen kinds for damaged files.
            self._session.close()
            path = version_dir / SAVED_MODEL_FILE
            raise no_model(path, f"TensorFlow {tf.__version__}", error) from error
        self.signatures = signature_def.read_signatures(meta_graph.signature_def)
        self._definitions = {
            name: definition
            for name, definition in meta_graph.signature_def.items()
            if name in self.signatures
        }

    def _run(
        self, signature: str, inputs: dict[str, np.ndarray], outputs: list[str]
    ) -> dict[str, np.ndarray]:
        import tensorflow as tf

        found = self._definitions[signature]
        feeds = {found.inputs[name].name: value for name, value in inputs.items()}
        fetches = {name: found.outputs[name].name for name in outputs}
        try:
            values: dict[str, Any] = self._session.run(fetches, feeds)
        except tf.errors.OpError as error:
            code = _CODE_NAMES.get(error.error_code, "UNKNOWN")
            raise Status(code, " ".join(error.message.split())) from error
        except (ValueError, TypeError) as error:
            raise invalid(" ".join(str(error).split())) from error
        return {
            name: value if isinstance(value, np.ndarray) else np.array(value, _numpy(value))
            for name, value in values.items()
        }

    def runtime(self, signature: str) -> str:
        return "TensorFlow"

    def close(self) -> None:
        # The variables go with the last reference to the session.
        session = self.__dict__.pop("_session", None)
        if session is not None:
            session.close()


def _numpy(value: Any) -> Any:
    # A scalar comes as a NumPy number, or as `bytes`, which NumPy would cut at a zero.
    return object if isinstance(value, bytes) else None


def read_signatures(version_dir: Path) -> dict[str, Signature]:
    """Reads the signatures of a SavedModel without TensorFlow.

    Raises:
        ModelError: If `saved_model.pb` is damaged.
    """
    path = version_dir / SAVED_MODEL_FILE
    try:
        for meta_graph in _fields(memoryview(path.read_bytes()), 2):
            tags = [bytes(t).decode() for i in _fields(meta_graph, 1) for t in _fields(i, 4)]
            if _TAG in tags:
                # Field 5 is a map: its entries are read as those of a message with the same map.
                found = messages.SignatureDefMap()
                for entry in _fields(meta_graph, 5):
                    key, definition = (next(_fields(entry, i), b"") for i in (1, 2))
                    found.signature_def[bytes(key).decode()].ParseFromString(bytes(definition))
                return signature_def.read_signatures(found.signature_def)
    except Exception as error:  # A decoder's own, and what a cut file leads to.
        raise no_model(path, "TensorFlow", error) from error
    raise no_model(path, "TensorFlow", ValueError(f"it has no graph tagged {_TAG!r}"))


def _fields(message: memoryview, number: int) -> Iterator[memoryview]:
    """The parts of a serialized message in one field that holds messages or strings."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        kind = tag & 7
        if kind == 0:
            _, place = _varint(message, place)
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        elif kind == 2:
            length, place = _varint(message, place)
            if place + length > len(message):
                raise ValueError("it is cut short")
            if tag >> 3 == number:
                yield message[place : place + length]
            place += length
        else:
            raise ValueError("it is no protocol buffer")


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
