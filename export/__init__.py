"""From a trained network to files that stock runtimes load, with proof that they agree.

    export_run      a run folder -> a version directory: SavedModel, ONNX, manifest, warm-up
    export_model    the same for any Keras model, `.keras` file or SavedModel
    saved_model     only the SavedModel
    onnx            only the ONNX file
    load_network    what the others take, from wherever it is
    read_manifest   what an export says about itself (needs no TensorFlow)
    validate        the comparison with the live model once more
    migrate         a SavedModel of TensorFlow Addons -> stock operations, and ONNX
    inspect_model   what is in a model file (ONNX needs no TensorFlow)
    write_model_repository, write_model_config, write_batching_parameters   for fleets

The names are loaded at first use: readers of manifests do not import TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING, Any

_PUBLIC = {
    "ExportOptions": "stn_tf.export.onnx_passes.targets",
    "ExportResult": "stn_tf.export.publish.version",
    "Inspection": "stn_tf.export.inspection.result",
    "Manifest": "stn_tf.export.publish.manifest",
    "MigrationResult": "stn_tf.export.migration.rescue",
    "OnnxOptions": "stn_tf.export.onnx_passes.targets",
    "ParityRow": "stn_tf.export.publish.manifest",
    "Validation": "stn_tf.export.proof.validation",
    "export_model": "stn_tf.export.publish.version",
    "export_run": "stn_tf.export.publish.version",
    "inspect_model": "stn_tf.export.inspection.model_file",
    "load_network": "stn_tf.export.source.load",
    "migrate": "stn_tf.export.migration.rescue",
    "onnx": "stn_tf.export.conversion.onnx_file",
    "read_manifest": "stn_tf.export.publish.manifest",
    "saved_model": "stn_tf.export.tensorflow.saved_model_file",
    "validate": "stn_tf.export.proof.validation",
    "write_batching_parameters": "stn_tf.export.fleet.serving_config",
    "write_model_config": "stn_tf.export.fleet.serving_config",
    "write_model_repository": "stn_tf.export.fleet.triton",
}
__all__ = list(_PUBLIC)

if TYPE_CHECKING:
    from stn_tf.export.conversion.onnx_file import onnx as onnx
    from stn_tf.export.fleet.serving_config import (
        write_batching_parameters as write_batching_parameters,
    )
    from stn_tf.export.fleet.serving_config import write_model_config as write_model_config
    from stn_tf.export.fleet.triton import write_model_repository as write_model_repository
    from stn_tf.export.inspection.model_file import inspect_model as inspect_model
    from stn_tf.export.inspection.result import Inspection as Inspection
    from stn_tf.export.migration.rescue import MigrationResult as MigrationResult
    from stn_tf.export.migration.rescue import migrate as migrate
    from stn_tf.export.onnx_passes.targets import ExportOptions as ExportOptions
    from stn_tf.export.onnx_passes.targets import OnnxOptions as OnnxOptions
    from stn_tf.export.proof.validation import Validation as Validation
    from stn_tf.export.proof.validation import validate as validate
    from stn_tf.export.publish.manifest import Manifest as Manifest
    from stn_tf.export.publish.manifest import ParityRow as ParityRow
    from stn_tf.export.publish.manifest import read_manifest as read_manifest
    from stn_tf.export.publish.version import ExportResult as ExportResult
    from stn_tf.export.publish.version import export_model as export_model
    from stn_tf.export.publish.version import export_run as export_run
    from stn_tf.export.source.load import load_network as load_network
    from stn_tf.export.tensorflow.saved_model_file import saved_model as saved_model


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'stn_tf.export' has no attribute {name!r}")
