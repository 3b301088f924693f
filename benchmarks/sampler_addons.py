"""`tfa.image.resampler`, for `sampler.py`: a mode a line comes in, milliseconds go out.

.venv-addons/bin/python benchmarks/sampler_addons.py THREADS SHAPE
"""

import sys
import time

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa

threads, shape = int(sys.argv[1]), [int(size) for size in sys.argv[2].split(",")]
tf.config.threading.set_intra_op_parallelism_threads(threads)
rng = np.random.default_rng(0)
images = tf.constant(rng.normal(size=shape).astype(np.float32))
theta = (np.eye(2, 3) + rng.normal(0, 0.1, (shape[0], 2, 3))).astype(np.float32)
x, y = np.meshgrid(np.linspace(-1, 1, shape[2]), np.linspace(-1, 1, shape[1]))
base = np.stack([x, y, np.ones_like(x)], axis=-1)
points = np.einsum("nij,hwj->nhwi", theta, base)
extent = np.array([shape[2] - 1, shape[1] - 1])
warp = tf.constant(((points + 1) / 2 * extent).astype(np.float32))
upstream = tf.ones(shape)

for line in sys.stdin:
    start = time.perf_counter()
    if line.strip() == "grid":
        tfa.image.resampler(images, warp)
    else:
        with tf.GradientTape() as tape:
            tape.watch([images, warp])
            output = tfa.image.resampler(images, warp)
        tape.gradient(output, [images, warp], upstream)
    print((time.perf_counter() - start) * 1e3, flush=True)
