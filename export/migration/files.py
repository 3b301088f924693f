"""The files of a SavedModel: read, written anew, loaded."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from stn_tf.errors import ExportError, ModelError
from stn_tf.export.migration.parity import to_numpy
from stn_tf.export.proof.comparison import Run

_FILE = "saved_model.pb"
# Everything else in a SavedModel; its fingerprint no longer fits.
_COPIED = ("variables", "assets", "assets.extra", "keras_metadata.pb")


def read(folder: Path) -> saved_model_pb2.SavedModel:
    """Reads a SavedModel's graphs.

    Raises:
        ModelError: If there are none, or none with signatures.
    """
    path = folder / _FILE
    try:
        proto = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    except OSError as error:
        raise ModelError(
            f"`{folder}` is no SavedModel: {_FILE} cannot be read ({error.strerror}). Give the "
            "folder that tf.saved_model.save wrote."
        ) from None
    except DecodeError:
        proto = saved_model_pb2.SavedModel()
    if not any(len(meta_graph.signature_def) for meta_graph in proto.meta_graphs):
        raise ModelError(
            f"`{path}` is damaged, or no SavedModel with signatures. Copy it again from where it "
            "was written."
        )
    return proto


def write(
    folder: Path, proto: saved_model_pb2.SavedModel, target: Path, *, link: bool = False
) -> None:
    """Writes a SavedModel whose variables and assets are those of `folder`.

    Args:
        folder: A SavedModel.
        proto: The graphs of the new one.
        target: An empty folder.
        link: Whether to link to the variables rather than copy them.

    Raises:
        ExportError: If a file cannot be read or written.
    """
    try:
        for name in _COPIED:
            if link and (folder / name).exists():
                (target / name).symlink_to((folder / name).resolve())
            elif (folder / name).is_dir():
                shutil.copytree(folder / name, target / name)
            elif (folder / name).exists():
                shutil.copy(folder / name, target / name)
        (target / _FILE).write_bytes(proto.SerializeToString(deterministic=True))
    except (OSError, shutil.Error) as error:
        raise ExportError(f"`{folder}` cannot be copied to `{target.parent}`: {error}.") from error


class Loaded:
    """A SavedModel in this process.

    Attributes:
        meta_graph: The graph that was loaded: the one for serving where there are many.
        signatures: Its signatures as functions.
    """

    def __init__(self, folder: Path, proto: saved_model_pb2.SavedModel) -> None:
        graphs = list(proto.meta_graphs)
        serving = [graph for graph in graphs if list(graph.meta_info_def.tags) == ["serve"]]
        self.folder, self.meta_graph = folder, (serving or graphs)[0]
        tags = list(self.meta_graph.meta_info_def.tags)
        try:
            self._model = tf.saved_model.load(str(folder), tags=tags)
        except (OSError, ValueError, KeyError, RuntimeError, tf.errors.OpError) as error:
            reason = " ".join(str(error).split()).replace(f"{folder}/", "")
            raise ModelError(
                f"The SavedModel does not load: {reason}. Copy it again from where it was written."
            ) from error
        self.signatures = {
            name: function
            for name, function in self._model.signatures.items()
            if not name.startswith("__")
        }

    def inputs(self, signature: str) -> dict[str, tf.TensorSpec]:
        return dict(self.signatures[signature].structured_input_signature[1])

    def answers(self, signature: str) -> Run:
        function = self.signatures[signature]

        def answer(feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            # `self` owns the variables of the signatures.
            assert self._model
            values = function(**{name: tf.constant(value) for name, value in feeds.items()})
            return {name: to_numpy(value) for name, value in values.items()}

        return answer
