"""From an image and a grid to an image.

grid_sample    reads images at the points of a grid
warp           the grid of a transform and the sampling, in one call
"""

from stn_tf.sampling.grid_sample import grid_sample
from stn_tf.sampling.warp import warp

__all__ = ["grid_sample", "warp"]
