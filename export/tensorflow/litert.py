"""The LiteRT file of a network, in its built-in operations alone."""

import tempfile
from pathlib import Path

import tensorflow as tf

from stn_tf.errors import ExportError
from stn_tf.export.source.network import Network
from stn_tf.export.tensorflow.saved_model_file import saved_model
from stn_tf.quiet import standard_error_closed

# An encoded image is decoded before LiteRT, which has no operation for it.
SIGNATURES = ("serving_default", "localize", "rectify")


def litert(network: Network, path: Path) -> None:
    """Writes the LiteRT file of a network.

    Its signatures are those of the SavedModel but `serving_bytes`; its samplers are gathers, since
    the faster operations of a SavedModel are none of LiteRT's. The batch stays free.

    Raises:
        ExportError: If the network has an operation that LiteRT lacks.
    """
    with tempfile.TemporaryDirectory() as folder:
        names = saved_model(network, Path(folder) / "saved_model", xla=True)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            str(Path(folder) / "saved_model"),
            signature_keys=[name for name in SIGNATURES if name in names],
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        try:
            with standard_error_closed():
                path.write_bytes(converter.convert())
        except Exception as error:  # Kinds of MLIR and of TensorFlow's own.
            raise ExportError(
                f"The model cannot be converted to LiteRT: {_reason(error)}. Leave litert out of "
                "--format, or write the layer in operations that LiteRT has."
            ) from error


def _reason(error: Exception) -> str:
    """The line that names the operations, where there is one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines if line.startswith(("TF Select ops:", "Custom ops:"))]
    if named:
        return f"it lacks {named[0].split(':', 1)[1].strip()}"
    return (lines or [type(error).__name__])[0][:200].rstrip(".")
