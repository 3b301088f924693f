"""Keras layers.

    SpatialTransformer        looks at images where its localisation network says
    SalientRegion             where a pre-trained network's features are strong
    OutsidePenalty            a loss on grids that leave the image
    ThetaRegression, Warp     its two parts, for transformers that share one localisation
    spatial_transformers      finds the transformers in a model
    record_transformations    hands out theta, grid and crops of a model's transformers

Importing this module registers the layers with Keras: do so before `keras.models.load_model`.
"""

from stn_tf.layers import backend as backend  # First: it refuses any but TensorFlow.
from stn_tf.layers.outside_penalty import OutsidePenalty
from stn_tf.layers.recording import Transformation, record_transformations
from stn_tf.layers.salient_region import SalientRegion
from stn_tf.layers.spatial_transformer import SpatialTransformer, spatial_transformers
from stn_tf.layers.theta_regression import ThetaRegression
from stn_tf.layers.warp import Warp

__all__ = [
    "OutsidePenalty",
    "SalientRegion",
    "SpatialTransformer",
    "ThetaRegression",
    "Transformation",
    "Warp",
    "record_transformations",
    "spatial_transformers",
]
