"""From a trained network to files that stock runtimes load, with proof that they agree.

    export_run      a run folder -> a version directory: SavedModel, ONNX, manifest, warm-up
    export_model    the same for any Keras model, `.keras` file or SavedModel
    saved_model     only the SavedModel
    onnx            only the ONNX file
    load_network    what the others take, from wherever it is
    read_manifest   what an export says about itself (needs no TensorFlow)

The names are loaded at first use: readers of manifests do not import TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING, Any

_PUBLIC = {
    "ExportOptions": "stn_tf.export.targets",
    "ExportResult": "stn_tf.export.version",
    "Manifest": "stn_tf.export.manifest",
    "OnnxOptions": "stn_tf.export.targets",
    "ParityRow": "stn_tf.export.manifest",
    "export_model": "stn_tf.export.version",
    "export_run": "stn_tf.export.version",
    "load_network": "stn_tf.export.source",
    "onnx": "stn_tf.export.onnx_file",
    "read_manifest": "stn_tf.export.manifest",
    "saved_model": "stn_tf.export.saved_model_file",
}
__all__ = list(_PUBLIC)

if TYPE_CHECKING:
    from stn_tf.export.manifest import Manifest as Manifest
    from stn_tf.export.manifest import ParityRow as ParityRow
    from stn_tf.export.manifest import read_manifest as read_manifest
    from stn_tf.export.onnx_file import onnx as onnx
    from stn_tf.export.saved_model_file import saved_model as saved_model
    from stn_tf.export.source import load_network as load_network
    from stn_tf.export.targets import ExportOptions as ExportOptions
    from stn_tf.export.targets import OnnxOptions as OnnxOptions
    from stn_tf.export.version import ExportResult as ExportResult
    from stn_tf.export.version import export_model as export_model
    from stn_tf.export.version import export_run as export_run


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'stn_tf.export' has no attribute {name!r}")
