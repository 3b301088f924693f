"""What LitServe and Ray Serve make of a request, for `serving.py`.

Both get the fastest decoders for bodies that are whole in memory: orjson, `np.frombuffer`, Pillow.
"""

import io
import sys
from typing import Any

import numpy as np
import onnxruntime
import orjson
from PIL import Image

# Those of `serving_default`.
OUTPUTS = ["logits", "probabilities", "class"]


class Model:
    """An ONNX file in a session of one thread, with the library of our sampler.

    Args:
        path: The file.
        size: Height, width and channels of its images.
        library: Our sampler's library for ONNX Runtime.
    """

    def __init__(self, path: str, size: tuple[int, ...], library: str) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        options.register_custom_ops_library(library)
        providers = ["CPUExecutionProvider"]
        self._session = onnxruntime.InferenceSession(path, options, providers=providers)
        self._given = self._session.get_inputs()[0].name
        self._size = size

    def decode(self, kind: str, body: bytes) -> np.ndarray:
        """The images of a body of this content type, `[N, H, W, C]` float32."""
        if kind == "application/json":
            return np.array(orjson.loads(body)["instances"], np.float32)
        if kind == "application/octet-stream":
            return np.frombuffer(body, np.float32).reshape(-1, *self._size)
        pixels = np.asarray(Image.open(io.BytesIO(body)), np.float32)
        return pixels.reshape(1, *self._size) / np.float32(255)

    def answer(self, images: np.ndarray) -> bytes:
        """The JSON of the outputs."""
        values = self._session.run(OUTPUTS, {self._given: images})
        found: dict[str, Any] = dict(zip(OUTPUTS, values, strict=True))
        return orjson.dumps({"outputs": found}, option=orjson.OPT_SERIALIZE_NUMPY)


def arguments() -> tuple[int, dict[str, tuple[str, tuple[int, ...], str]]]:
    """The port, and what makes each model: `PORT LIBRARY NAME=FILE=HEIGHT,WIDTH,CHANNELS ...`."""
    port, library, *texts = sys.argv[1:]
    models = {}
    for text in texts:
        name, path, size = text.split("=")
        models[name] = (path, tuple(int(length) for length in size.split(",")), library)
    return int(port), models
