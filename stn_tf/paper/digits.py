"""The source `digits`: 1,797 real handwritten digits that need no download.

They come with scikit-learn (E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits,
UCI 1998): 8x8 cells that count the ink of a 32x32 bitmap, 0 to 16, by 43 writers.
"""

import numpy as np
from PIL import Image

from stn_tf.data.split import TEST, TRAIN, VALIDATION, stratified_split
from stn_tf.paper.canvas import REFERENCE
from stn_tf.paper.source import Examples, Source

# A cell becomes 2.5 pixels, so that a digit fills 20x20 in the middle of 28x28, as MNIST frames
# its digits: turning one never cuts it off.
_CELL_PIXELS = 2.5
_CELLS, _MOST_INK = 8, 16.0


def load() -> Source:
    """Returns the digits at 28x28: of each class 70 % train, 10 % validation, 20 % test."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.stack([_upsample(cells) for cells in digits.images])[..., np.newaxis]
    examples = Examples(images, digits.target.astype(np.int32))
    names = [str(number) for number in range(len(examples))]
    parts = stratified_split(names, examples.labels, validation=0.1, test=0.2)
    return Source(
        train=examples[parts == TRAIN],
        validation=examples[parts == VALIDATION],
        test=examples[parts == TEST],
        classes=tuple(str(name) for name in digits.target_names),
    )


def _upsample(cells: np.ndarray) -> np.ndarray:
    margin = (REFERENCE / _CELL_PIXELS - _CELLS) / 2
    ring = int(np.ceil(margin))
    # Empty cells around the digit: the filter then fades ink out at its edge, as elsewhere.
    paper = np.pad(cells.astype(np.float32) * (255.0 / _MOST_INK), ring)
    low, high = ring - margin, ring + _CELLS + margin
    picture = Image.fromarray(paper).resize(
        (REFERENCE, REFERENCE), Image.Resampling.BICUBIC, box=(low, low, high, high)
    )
    return np.clip(np.rint(np.asarray(picture)), 0, 255).astype(np.uint8)
