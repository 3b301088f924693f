"""The networks of the paper's experiment with volumes (appendix A.3).

The paper says what its transformer does, that its output is flattened along depth, and that a
network of the plane follows. Decided here:

- Every network has about as many parameters as one of A.4, localisation included.
- Volumes are flattened by the mean along depth; the network that follows is the CNN of A.4.
- The localisation sees the volume at a quarter of its size, by average pooling: 3x3x3 convolutions
  of 16, 32 and 32 filters with a max-pool after the first, and a dense layer of 32.
- `cnn-flattened` flattens the volume as it is.
- `cnn-3d` sees it at a third of its size: 3x3x3 convolutions of 16 and 32 filters, each with a
  max-pool, and a dense layer.
"""

from collections.abc import Sequence

import keras

from stn_tf.layers import SpatialTransformer
from stn_tf.paper.config import VOLUME_NETWORKS
from stn_tf.paper.networks import PARAMETER_BUDGET, cnn_features, nearest_width

# Of smaller volumes the convolutions of the localisation leave nothing.
LEAST_SIDE = 48


def build_volume_network(
    name: str, input_shape: Sequence[int], classes: int = 10, *, crop_side: int = 28
) -> keras.Model:
    """Returns an untrained network: `images` float32 `[N, D, H, W, C]` in 0..1 -> `logits`.

    Args:
        name: One of `VOLUME_NETWORKS`.
        input_shape: Depth, height, width and channels of the volumes.
        classes: The number of classes.
        crop_side: Of the cube that a transformer samples, in voxels.

    Raises:
        ValueError: If there is no such network, or a size is too small for it.
    """
    if name not in VOLUME_NETWORKS:
        raise ValueError(f"`name` must be one of {', '.join(VOLUME_NETWORKS)}, but it is {name!r}.")
    if min(input_shape[:-1]) < LEAST_SIDE:
        raise ValueError(
            f"`input_shape` must have at least {LEAST_SIDE} voxels to each side, but it has "
            f"{' x '.join(map(str, input_shape[:-1]))}. Use larger volumes."
        )
    volumes = keras.Input(tuple(input_shape), name="images")
    budget, crops = PARAMETER_BUDGET, volumes
    if name == "st-3d":
        localisation = _localisation(input_shape)
        transformer = SpatialTransformer(
            localisation, "affine-3d", (crop_side,) * 3, name="spatial_transformer"
        )
        crops = transformer(volumes)
        budget -= transformer.count_params()
    if name == "cnn-3d":
        features = _cnn_3d(volumes, classes, budget)
    else:
        features = cnn_features(keras.ops.mean(crops, axis=1), classes, budget)
    logits = keras.layers.Dense(classes, name="logits", dtype="float32")(features)
    return keras.Model(volumes, logits, name=name.replace("-", "_"))


def _localisation(input_shape: Sequence[int]) -> keras.Model:
    layers = keras.layers
    volumes = keras.Input(tuple(input_shape), name="volumes")
    features = _shrunk(volumes, 4)
    for index, filters in enumerate((16, 32, 32), start=1):
        features = layers.Conv3D(filters, 3, activation="relu", name=f"conv_{index}")(features)
        if index == 1:
            features = layers.MaxPooling3D(2, name="pool")(features)
    features = layers.Dense(32, activation="relu", name="dense")(layers.Flatten()(features))
    return keras.Model(volumes, features, name="localisation")


def _cnn_3d(volumes: keras.KerasTensor, classes: int, budget: int) -> keras.KerasTensor:
    layers = keras.layers
    features = _shrunk(volumes, 3)
    for index, filters in enumerate((16, 32), start=1):
        budget -= (27 * features.shape[-1] + 1) * filters
        features = layers.Conv3D(filters, 3, activation="relu", name=f"conv_{index}")(features)
        features = layers.MaxPooling3D(2, name=f"pool_{index}")(features)
    features = layers.Flatten()(features)
    units = nearest_width(0, features.shape[-1] + 1 + classes, classes, budget)
    return layers.Dense(units, activation="relu", name="hidden")(features)


def _shrunk(volumes: keras.KerasTensor, factor: int) -> keras.KerasTensor:
    """Average-pools; what does not fill a cube at the far faces is left out.

    An axis after the other: TensorFlow 2.21's AvgPool3D takes seven times as long on a CPU.
    """
    *size, channels = volumes.shape[1:]
    depth, height, width = (extent // factor for extent in size)
    kept = [slice(None), *(slice(extent * factor) for extent in (depth, height, width))]
    if any(extent % factor for extent in size):
        volumes = volumes[tuple(kept)]
    ops = keras.ops
    rows = ops.reshape(volumes, (-1, depth * factor * height * factor, width, factor, channels))
    rows = ops.reshape(
        ops.mean(rows, axis=3), (-1, depth * factor, height, factor, width, channels)
    )
    rows = ops.reshape(ops.mean(rows, axis=3), (-1, depth, factor, height, width, channels))
    return ops.mean(rows, axis=2)
