"""From an image and a grid to an image.

grid_sample      reads images at the points of a grid
native_sampler   chooses the compiled sampler for what is called or traced inside
warp             the grid of a transform and the sampling, in one call
"""

from stn_tf.sampling.choice import native_sampler
from stn_tf.sampling.grid_sample import grid_sample
from stn_tf.sampling.warp import warp

__all__ = ["grid_sample", "native_sampler", "warp"]
