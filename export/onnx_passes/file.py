"""Reads ONNX files, and says who wrote them."""

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

import stn_tf
from stn_tf.errors import ModelError


def read_onnx(path: Path) -> onnx.ModelProto:
    """Reads an ONNX file; weights that are stored outside it are not read.

    Raises:
        ModelError: If it is not an ONNX file, or only part of one.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise ModelError(f"`{path}` cannot be read: {error.strerror}. Name another file.") from None
    except DecodeError:
        model = onnx.ModelProto()
    # Not every other file is refused by the reader of protocol buffers.
    if not model.graph.output or not model.opset_import:
        raise ModelError(
            f"`{path}` must be an ONNX file, but it is not one, or only part of one. "
            "Export the model again, or copy the file again."
        )
    return model


def sign(model: onnx.ModelProto) -> None:
    """Writes the producer into a file, in place."""
    model.producer_name, model.producer_version = "stn-tf", stn_tf.__version__
