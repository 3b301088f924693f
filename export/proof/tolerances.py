"""How far a file may be from the live model."""

import numpy as np

from stn_tf.export.proof.expectations import Case
from stn_tf.export.publish.manifest import Sampler
from stn_tf.interface import ModelInterface

# Of a model's own outputs, relative to the largest number in them.
OWN = {"float32": 1e-4, "float16": 0.03, "int8": 0.35}
# In normalised coordinates, of a size of 2 for the whole image.
THETA = {"float32": 1e-5, "float16": 5e-3, "int8": 1e-4}
# Rounding grows with the layers before it: so many are in `THETA`, and each further one allows as
# much again, where theta is computed in float32.
_SHALLOW = 4
# Relative to the range of the pixels. Under less precision a crop moves with theta, and an edge in
# it may differ by all of its height: theta and corners say more.
CROPS = {"float32": 1e-4, "float16": 0.3, "int8": 0.3}
# Outputs smaller than this are compared as if they were as large: rounding within a network does
# not shrink with its outputs.
_SMALL = 0.1
# Logits under less precision: twice what a probability may be off moves none by more than that,
# however small they are, as after a short training.
_LOGITS = 2.0
# What rounding to half precision is worth, which files leave out.
_HALF = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
# Under int8 a transformer that reads quantised features is moved by their rounding.
_QUANTISED_THETA = 0.1


def tolerance(
    interface: ModelInterface,
    case: Case,
    output: str,
    expected: np.ndarray,
    *,
    precision: str = "float32",
    own: float | None = None,
    sampler: Sampler | None = None,
) -> float:
    """Returns the largest difference that an output may have.

    Args:
        interface: What the model gives.
        case: What it was asked.
        output: The name of the output.
        expected: What it must be.
        precision: Of the file.
        own: What the user allows the model's own outputs, relative; None for `OWN`.
        sampler: Of theta, corners and crops, where it is known: int8 quantises feature maps, and
            deep localisations round more.
    """
    if not np.issubdtype(expected.dtype, np.floating):
        return 0.0
    spec = interface.output(output)
    meaning = "raw" if spec is None else spec.meaning
    largest = float(np.max(np.abs(expected), initial=0.0))
    size = max(max(values.shape[1:], default=1) for values in case.feeds.values())
    theta = THETA[precision]
    if sampler is not None and precision != "float16":
        theta *= max(1, sampler.depth - _SHALLOW)
    if sampler is not None and precision == "int8" and not sampler.reads_images:
        theta = _QUANTISED_THETA
    if meaning == "theta":
        return theta * max(1.0, largest)
    if meaning == "corners":
        # What theta's tolerance moves a pixel by, at the edge of the image and beyond.
        return theta * max(size, largest)
    if meaning == "crops":
        # Crops also differ by what theta's tolerance moves.
        return max(CROPS[precision], theta * size) * max(1.0, largest)
    base = OWN[precision] if own is None else own
    if spec is not None and spec.half is not None:
        base += _HALF[spec.half]
    if meaning == "probabilities":
        return base
    least = _LOGITS if meaning == "logits" and precision != "float32" else _SMALL
    return base * max(least, largest)
