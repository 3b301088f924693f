"""Models and data as users write them, named in settings as `tests.experiments.own_functions:...`.

Models are as small as they can be, so that training them costs little but tracing.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

BATCH = 8


def _flat(input_shape: Any, *layers: keras.layers.Layer) -> keras.Model:
    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), *layers])


def linear(input_shape: tuple[int, ...], classes: int) -> keras.Model:
    return _flat(input_shape, keras.layers.Dense(classes))


def softmax(input_shape: tuple[int, ...], class_names: tuple[str, ...]) -> keras.Model:
    return _flat(input_shape, keras.layers.Dense(len(class_names), activation="softmax"))


def of_bytes(input_shape: tuple[int, ...], classes: int) -> keras.Model:
    """Brings 0..255 to 0..1 itself."""
    model = linear(input_shape, classes)
    return keras.Sequential([keras.Input(input_shape), keras.layers.Rescaling(1 / 255), model])


def of_uint8(input_shape: tuple[int, ...], classes: int) -> keras.Model:
    images = keras.Input(input_shape, dtype="uint8")
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(images))
    model = keras.Model(images, keras.layers.Dense(classes, name="digits")(flat))
    model.compile(loss={"digits": keras.losses.SparseCategoricalCrossentropy(from_logits=True)})
    return model


def one_number(input_shape: tuple[int, ...]) -> keras.Model:
    return _flat(input_shape, keras.layers.Dense(1))


def one_probability(input_shape: tuple[int, ...]) -> keras.Model:
    return _flat(input_shape, keras.layers.Dense(1, activation="sigmoid"))


def compiled(input_shape: tuple[int, ...], classes: int) -> keras.Model:
    model = linear(input_shape, classes)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(loss=loss, metrics=["accuracy"])
    return model


def compiled_by_name(input_shape: tuple[int, ...], class_names: tuple[str, ...]) -> keras.Model:
    model = softmax(input_shape, class_names)
    model.compile(loss="sparse_categorical_crossentropy")
    return model


class Subclassed(keras.Model):
    def __init__(self, classes: int) -> None:
        super().__init__(name="subclassed")
        self.flatten = keras.layers.Flatten()
        self.dense = keras.layers.Dense(classes)

    def call(self, images: Any) -> Any:
        return self.dense(self.flatten(images))


def subclassed(input_shape: tuple[int, ...], classes: int) -> keras.Model:
    model = Subclassed(classes)
    model(np.zeros((1, *input_shape), np.float32))
    return model


def named_layers(input_shape: tuple[int, ...], classes: int) -> keras.Model:
    hidden = keras.layers.Dense(6, activation="relu", name="hidden")
    return _flat(input_shape, hidden, keras.layers.Dense(classes, name="head"))


def of_24_pixels(classes: int) -> keras.Model:
    return linear((24, 24, 3), classes)


def too_many_outputs(input_shape: tuple[int, ...], classes: int) -> keras.Model:
    return linear(input_shape, classes + 1)


def two_outputs(input_shape: tuple[int, ...], classes: int) -> keras.Model:
    images = keras.Input(input_shape, name="images")
    flat = keras.layers.Flatten()(images)
    outputs = [keras.layers.Dense(n, name=name)(flat) for n, name in ((classes, "a"), (1, "b"))]
    return keras.Model(images, outputs)


def not_a_model() -> int:
    return 3


def not_built() -> keras.Model:
    return keras.Sequential([keras.layers.Dense(2)])


def wants_more(input_shape: tuple[int, ...], width: int, depth: int) -> keras.Model:
    raise AssertionError


def takes_anything(**offered: Any) -> keras.Model:
    assert set(offered) == {"input_shape", "classes", "class_names", "seed"}
    return linear(offered["input_shape"], offered["classes"])


NUMBER = 3


def _digits(start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Digits `[N, 8, 8, 1]` in 0..1, and their classes."""
    found = load_digits(n_class=4)
    images = (found.images[start : start + count, ..., None] / 16).astype(np.float32)
    return images, found.target[start : start + count].astype(np.int32)


def _dataset(start: int, count: int, batch_size: int = BATCH) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(_digits(start, count)).batch(batch_size)


def three_datasets(batch_size: int, seed: int) -> tuple[tf.data.Dataset, ...]:
    train = tf.data.Dataset.from_tensor_slices(_digits(0, 40)).shuffle(40, seed=seed)
    return train.batch(batch_size), _dataset(40, 10), _dataset(50, 12)


def named() -> dict[str, Any]:
    train, validation, test = three_datasets(BATCH, 0)
    parts = {"train": train, "validation": validation, "test": test}
    return {**parts, "class_names": ["null", "one", "two", "three"]}


def one_hot() -> dict[str, Any]:
    def encoded(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return images, tf.one_hot(labels, 4)

    return {k: v if k == "class_names" else v.map(encoded) for k, v in named().items()}


def larger() -> dict[str, Any]:
    """Digits of 16 pixels, which networks of ours can take."""

    def enlarged(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.repeat(tf.repeat(images, 2, axis=1), 2, axis=2), labels

    return {k: v if k == "class_names" else v.map(enlarged) for k, v in named().items()}


class Pieces(keras.utils.PyDataset):
    def __init__(self, start: int, count: int) -> None:
        super().__init__()
        self._images, self._labels = _digits(start, count)

    def __len__(self) -> int:
        return -(-len(self._labels) // BATCH)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = slice(index * BATCH, (index + 1) * BATCH)
        return self._images[chosen], self._labels[chosen]


def pieces() -> dict[str, Any]:
    return {
        "train": Pieces(0, 40),
        "test": Pieces(50, 12),
        "class_names": ["null", "one", "two", "three"],
    }


def endless() -> tf.data.Dataset:
    return _dataset(0, 40).repeat()


def misnamed() -> dict[str, Any]:
    return {"training": endless()}


def four_datasets() -> tuple[tf.data.Dataset, ...]:
    return (endless(),) * 4


def _brightness(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return images, tf.reduce_mean(images, [1, 2])


def brightness() -> tuple[tf.data.Dataset, ...]:
    return tuple(dataset.map(_brightness) for dataset in three_datasets(BATCH, 0))


def regressor(input_shape: tuple[int, ...]) -> keras.Model:
    model = _flat(input_shape, keras.layers.Dense(1, name="brightness"))
    model.compile(loss="mse", metrics=["mae"])
    return model


def _halves(images: tf.Tensor, labels: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    return {"upper": images[:, :4], "lower": images[:, 4:]}, labels


def halves() -> dict[str, Any]:
    return {k: v if k == "class_names" else v.map(_halves) for k, v in named().items()}


def of_halves(classes: int) -> keras.Model:
    inputs = {name: keras.Input((4, 8, 1), name=name) for name in ("upper", "lower")}
    flat = [keras.layers.Flatten()(half) for half in inputs.values()]
    logits = keras.layers.Dense(classes, name="digits")(keras.layers.Concatenate()(flat))
    model = keras.Model(inputs, logits, name="of_halves")
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model
