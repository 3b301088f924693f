"""Writes models with real TensorFlow Addons, for `test_saved_model.py` to load elsewhere.

    python tests/addons/write_models.py FOLDER

Run in the environment of requirements/addons.txt (`make addons-models`): FOLDER gets a SavedModel
of a tf.Module, one of a Keras model, and `expected.npz` with what they and the bare operation
answer, gradients included.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa


def sampled(images: tf.Tensor, theta: tf.Tensor) -> tf.Tensor:
    """The resampler as spatial transformers used it: points in pixels, corners aligned."""
    side = tf.linspace(-1.0, 1.0, 28)
    x, y = tf.meshgrid(side, side)
    base = tf.stack([x, y, tf.ones_like(x)], axis=-1)
    points = tf.einsum("nij,hwj->nhwi", theta, base)
    return tfa.image.resampler(images, (points + 1.0) / 2.0 * 27.0)


class Transformer(tf.Module):
    """A localisation network, the resampler and a classifier, in plain TensorFlow."""

    def __init__(self) -> None:
        generator = tf.random.Generator.from_seed(1)
        self.localisation = tf.Variable(generator.normal([784, 6], stddev=0.02))
        self.classifier = tf.Variable(generator.normal([784, 10], stddev=0.1))

    @tf.function(input_signature=[tf.TensorSpec([None, 28, 28, 1], tf.float32)])
    def __call__(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        flat = tf.reshape(images, [-1, 784])
        theta = tf.reshape(flat @ self.localisation, [-1, 2, 3]) + tf.eye(2, 3)
        crops = sampled(images, theta)
        return {"crops": crops, "logits": tf.reshape(crops, [-1, 784]) @ self.classifier}


def keras_model() -> tf.keras.Model:
    """The same in Keras 2, with the resampler in a layer of its own."""
    images = tf.keras.Input((28, 28, 1))
    flat = tf.keras.layers.Flatten()(images)
    start = tf.keras.initializers.Constant([1.0, 0, 0, 0, 1, 0])
    theta = tf.keras.layers.Dense(6, "tanh", bias_initializer=start)(flat)
    theta = tf.keras.layers.Reshape((2, 3))(theta)
    crops = tf.keras.layers.Lambda(lambda both: sampled(*both))([images, theta])
    logits = tf.keras.layers.Dense(10)(tf.keras.layers.Flatten()(crops))
    return tf.keras.Model(images, logits)


def operations(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The bare operation and its gradients, for every shape of points that it takes."""
    found = {}
    for dtype in ("float16", "float32", "float64"):
        for name, shape in (("plane", (2, 5, 6)), ("list", (2, 40))):
            data = rng.normal(size=(2, 7, 9, 3)).astype(dtype)
            # Inside, outside, and on the border; in float16 on a grid that it can tell apart.
            warp = (rng.integers(-8, 44, (*shape, 2)) / 4 + 0.125).astype(dtype)
            upstream = rng.normal(size=(*shape, 3)).astype(dtype)
            with tf.GradientTape() as tape:
                inputs = [tf.constant(data), tf.constant(warp)]
                tape.watch(inputs)
                output = tfa.image.resampler(*inputs)
            to_data, to_warp = tape.gradient(output, inputs, tf.constant(upstream))
            values = {
                "data": data,
                "warp": warp,
                "upstream": upstream,
                "output": output.numpy(),
                "to_data": to_data.numpy(),
                "to_warp": to_warp.numpy(),
            }
            found |= {f"{dtype}-{name}-{key}": value for key, value in values.items()}
    return found


def main(folder: Path) -> None:
    tf.random.set_seed(0)
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    images = rng.uniform(size=(5, 28, 28, 1)).astype(np.float32)
    module, model = Transformer(), keras_model()
    answers = module(tf.constant(images))
    tf.saved_model.save(module, str(folder / "module"))
    tf.saved_model.save(model, str(folder / "keras"))
    np.savez(
        folder / "expected.npz",
        images=images,
        crops=answers["crops"],
        logits=answers["logits"],
        keras=model(images),
        **operations(rng),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
