"""Mixup and cutmix: training images that are partly another, with labels to match.

Images are mixed in pairs of neighbours, 2j and 2j + 1. What happens to a pair depends on its number
in the global batch alone, so that replicas which hold slices of it mix as one device would.
"""

from dataclasses import dataclass

import tensorflow as tf

from stn_tf.data import keys


@dataclass(frozen=True)
class Mixing:
    """Mixes neighbours in batches.

    With two alphas a pair is blended or cut, each as often as the other.

    Attributes:
        mixup_alpha: Two images are blended in shares from a beta distribution, both of whose
            parameters it is; 0 for never. Zhang et al. 2017, https://arxiv.org/abs/1710.09412.
        cutmix_alpha: Two images exchange a rectangle of the image's aspect, anywhere in it; its
            area is from such a distribution. Yun et al. 2019, https://arxiv.org/abs/1905.04899.
        probability: Of a pair being mixed at all.
    """

    mixup_alpha: float
    cutmix_alpha: float
    probability: float = 1.0

    def __post_init__(self) -> None:
        for name in ("mixup_alpha", "cutmix_alpha"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"`{name}` must be at least 0, but it is {getattr(self, name)}.")
        if not self.mixup_alpha and not self.cutmix_alpha:
            raise ValueError("`mixup_alpha` or `cutmix_alpha` must be above 0, but both are 0.")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"`probability` must be in 0..1, but it is {self.probability}.")

    @tf.autograph.experimental.do_not_convert
    def __call__(
        self, key: tf.Tensor, first_pair: tf.Tensor | int, images: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the batch mixed.

        Args:
            key: Of the step, int64 `[2]`.
            first_pair: The number in the global batch of the pair that this slice begins with.
            images: float32 `[n, H, W, C]`, n even and known.
            labels: float32 `[n, classes]`, one-hot.

        Returns:
            Images and labels, in the shapes that they had. Labels are the shares of the image.

        Raises:
            ValueError: If the number of images is odd or unknown.
        """
        images, labels = tf.convert_to_tensor(images), tf.convert_to_tensor(labels)
        count = images.shape[0]
        if count is None or count % 2:
            raise ValueError(
                "`images` must be of an even number that is known, because neighbours are mixed "
                f"in pairs, but their shape is {images.shape}. Choose an even batch size."
            )
        with tf.device("CPU:0"):
            height, width = images.shape[1:3]
            numbers = tf.cast(first_pair, tf.int64) + tf.range(count // 2, dtype=tf.int64)
            share, box = tf.map_fn(
                lambda number: self._draw(keys.fold(key, number), (height, width)),
                numbers,
                fn_output_signature=(tf.float32, tf.TensorSpec([4], tf.int32)),
            )
            top, left, down, across = tf.unstack(box[..., tf.newaxis], axis=1)
            rows, columns = tf.range(height), tf.range(width)
            inside = ((rows >= top) & (rows < top + down))[:, :, tf.newaxis]
            inside &= ((columns >= left) & (columns < left + across))[:, tf.newaxis]
            # A blend is a rectangle over all of the image that is not quite opaque.
            opaque = tf.where(inside, share[:, tf.newaxis, tf.newaxis], 0.0)
            area = tf.cast(down * across, tf.float32) / float(height * width)
            return (
                _exchanged(images, opaque[..., tf.newaxis]),
                _exchanged(labels, area * share[:, tf.newaxis]),
            )

    def _draw(self, key: tf.Tensor, size: tuple[int, int]) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws of one pair how opaque the other is, and its rectangle: top, left and sides."""
        height, width = size
        chances, mixup, cutmix = keys.split(key, 3)
        whether, which, *place = tf.unstack(keys.uniform(chances, (4,), 0.0, 1.0))
        whole = tf.constant([0, 0, height, width])
        blended, cut = tf.constant(1.0), whole
        if self.mixup_alpha:
            blended = tf.cast(_beta(mixup, self.mixup_alpha), tf.float32)
        if self.cutmix_alpha:
            side = tf.sqrt(_beta(cutmix, self.cutmix_alpha))
            sides = tf.cast(tf.round(side * tf.constant([height, width], tf.float64)), tf.int32)
            free = tf.cast([height, width] - sides + 1, tf.float32)
            start = tf.cast(tf.stack(place) * free, tf.int32)
            cut = tf.concat([tf.minimum(start, [height, width] - sides), sides], axis=0)
        blends = which < {(True, False): 1.0, (False, True): 0.0}.get(
            (self.mixup_alpha > 0, self.cutmix_alpha > 0), 0.5
        )
        share = tf.where(blends, blended, 1.0)
        box = tf.where(blends, whole, cut)
        return tf.where(whether < self.probability, share, 0.0), box


def _beta(key: tf.Tensor, alpha: float) -> tf.Tensor:
    """A number in 0..1, float64, of the beta distribution whose two parameters are alpha."""
    one, other = tf.unstack(
        tf.random.stateless_gamma([2], key, tf.constant(alpha, tf.float64), dtype=tf.float64)
    )
    # Of a tiny alpha both may be too small for a float, and TensorFlow makes them the least one.
    return tf.where(one == other, tf.ones_like(one), one / (one + other))


def _exchanged(values: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """Gives both of each pair that share of the other; `values` `[2p, ...]`, `share` `[p, ...]`."""
    pairs = tf.reshape(values, [values.shape[0] // 2, 2, *values.shape[1:]])
    share = share[:, tf.newaxis]
    mixed = pairs * (1.0 - share) + tf.reverse(pairs, [1]) * share
    return tf.reshape(mixed, values.shape)
