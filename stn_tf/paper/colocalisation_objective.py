"""What the paper's co-localisation minimises, and how it is measured (appendix A.2)."""

from typing import Any

import keras
import tensorflow as tf

# Of activations' typical squared length: what is weaker is next to nothing.
_FAINT = (0.01, 0.01, 1.0)
# How much each layer counts, together 1.
_WEIGHTS = (0.1, 0.1, 0.8)


class TripletLoss(keras.losses.Loss):
    """Windows of different images should look alike, and unlike a random piece of their image.

    The paper's loss, a mean over pairs of images n, m of the batch,

        max(0, |e(I_n) - e(I_m)|^2 - |e(I_n) - e(I_n^rand)|^2 + 1)

    with e the activations of three layers. How these are put together is not in the paper; here
    each layer is the direction of how it differs from that of a black image, because activations
    of different layers differ in size by orders of magnitude, and a loss of distances alone is
    smallest for windows on nothing; and the last layer, which says what is seen rather than where
    its strokes are, counts eight times as much as the others.

    Args:
        encoder: Images `[N, h, w, c]` in 0..1 -> a list of activations; it is not trained.
        examples: `[M, h, w, c]`, some images of what may be found, for how strong activations are.

    Call: random pieces `[N, h, w, c]`, the windows' crops `[N, h, w, c]`.
    """

    def __init__(
        self, encoder: keras.Model, examples: Any, name: str = "triplet_loss", **kwargs: Any
    ):
        super().__init__(name=name, **kwargs)
        self._encoder = encoder
        black = tf.zeros([1, *encoder.input_shape[1:]])
        self._black = _activations(encoder, black)
        strengths = [
            tf.reduce_mean(tf.reduce_sum(tf.math.squared_difference(values, black), -1))
            for values, black in zip(_activations(encoder, examples), self._black, strict=True)
        ]
        self._faint = [share * strength for share, strength in zip(_FAINT, strengths, strict=True)]

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        windows, pieces = self._seen(y_pred), self._seen(y_true)
        apart = tf.reduce_sum(tf.math.squared_difference(windows, pieces), -1)
        squares = tf.reduce_sum(windows**2, -1)
        products = tf.matmul(windows, windows, transpose_b=True)
        pairs = squares[:, tf.newaxis] + squares - 2.0 * products
        hinge = tf.nn.relu(pairs - apart[:, tf.newaxis] + 1.0)
        hinge = tf.linalg.set_diag(hinge, tf.zeros_like(apart))
        others = tf.maximum(tf.shape(windows)[0] - 1, 1)
        return tf.reduce_sum(hinge, 1) / tf.cast(others, tf.float32)

    def _seen(self, images: tf.Tensor) -> tf.Tensor:
        """Returns e, `[N, D]`, of length 1 for a typical digit."""
        parts = []
        for values, black, faint, share, weight in zip(
            _activations(self._encoder, images),
            self._black,
            self._faint,
            _FAINT,
            _WEIGHTS,
            strict=True,
        ):
            differs = values - black
            squared = tf.reduce_sum(differs**2, -1, keepdims=True)
            scale = (weight * (1.0 + share)) ** 0.5
            parts.append(differs * tf.math.rsqrt(squared + faint) * scale)
        return tf.concat(parts, -1)


class BoxIoU(keras.metrics.Mean):
    """How much windows of attention overlap with those they should be: intersection over union.

    Args:
        threshold: None for the mean overlap; or the metric is the share of images, in percent,
            where it is larger than this.

    Call: thetas `[N, 3]` of (scale, x, y), the true ones and those found.
    """

    def __init__(self, threshold: float | None = None, *, name: str, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self._threshold = threshold
        self._direction = "up"

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        overlap = intersection_over_union(y_true, y_pred)
        if self._threshold is not None:
            overlap = 100.0 * tf.cast(overlap > self._threshold, tf.float32)
        return super().update_state(overlap, sample_weight)


def intersection_over_union(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Returns `[N]` of the windows of attentions (scale, x, y), each `[N, 3]`."""
    halves = [tf.abs(theta[:, :1]) for theta in (first, second)]
    low = tf.maximum(first[:, 1:] - halves[0], second[:, 1:] - halves[1])
    high = tf.minimum(first[:, 1:] + halves[0], second[:, 1:] + halves[1])
    shared = tf.reduce_prod(tf.maximum(high - low, 0.0), -1)
    areas = tf.add_n([4.0 * half[:, 0] ** 2 for half in halves])
    return shared / (areas - shared)


def _activations(encoder: keras.Model, images: Any) -> list[tf.Tensor]:
    """Returns `[N, D]` of each layer."""
    return [
        tf.reshape(values, [tf.shape(values)[0], -1]) for values in encoder(images, training=False)
    ]
