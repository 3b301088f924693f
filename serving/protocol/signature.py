"""What a model takes and gives: the signature that requests are read against."""

from dataclasses import dataclass

DEFAULT = "serving_default"

PREDICT = "tensorflow/serving/predict"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a signature.

    Attributes:
        name: The name in the signature, which requests use.
        dtype: A NumPy name such as `"float32"`, or `"string"`.
        shape: `None` for an unknown rank; a `None` inside for an unknown length.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Signature:
    """A named computation of a model; `method` is TensorFlow Serving's method name."""

    method: str
    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
