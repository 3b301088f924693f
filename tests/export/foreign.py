"""Small models that are no digit classifiers, as other people write them.

One list of them, so that every test of foreign models goes over the same ones: long, but flat.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from stn_tf.layers import SpatialTransformer


@dataclasses.dataclass(frozen=True)
class Foreign:
    """A model, what is declared of it, and what must come out.

    Attributes:
        build: Makes it: a Keras model, a function, or a pair of it and what says the truth.
        outputs: The names of the model's own outputs, in its order.
        derived: The names of what is derived, by task.
        declared: What `export_model` is told.
        task: What the interface says.
        feeds: Inputs by name -> shape, and `uint8`, `int32` or the range of floats.
    """

    build: Callable[[], Any]
    outputs: tuple[str, ...] = ("output",)
    derived: tuple[str, ...] = ()
    declared: dict[str, Any] = dataclasses.field(default_factory=dict)
    task: str = "none"
    feeds: dict[str, tuple[tuple[int, ...], Any]] = dataclasses.field(
        default_factory=lambda: {"images": ((3, 12, 10, 3), (0, 1))}
    )
    slow: bool = False

    def values(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(3)
        found = {}
        for name, (shape, kind) in self.feeds.items():
            if kind == "uint8":
                found[name] = rng.integers(0, 256, shape).astype(np.uint8)
            elif kind == "int32":
                found[name] = rng.integers(0, 20, shape).astype(np.int32)
            else:
                found[name] = rng.uniform(*kind, shape).astype(np.float32)
        return found


LOOKS = ("theta", "corners", "crops")
PROBABLE = ("probabilities", "class")


def _localisation() -> keras.Model:
    return keras.Sequential(
        [layers.Conv2D(4, 3, strides=2, activation="relu"), layers.GlobalAveragePooling2D()]
    )


def _transformer(size: tuple[int, int], **options: Any) -> SpatialTransformer:
    return SpatialTransformer(
        _localisation(),
        "affine",
        size,
        initial_theta=[[0.8, 0.1, 0.05], [-0.1, 0.9, -0.1]],
        **options,
    )


def _images(*shape: int | None, **options: Any) -> keras.KerasTensor:
    return keras.Input(shape or (12, 10, 3), **options)


def _dense(count: int, activation: str | None = None, **options: Any) -> keras.Model:
    images = _images()
    return keras.Model(images, layers.Dense(count, activation, **options)(layers.Flatten()(images)))


def _head(features: Callable[[Any], Any], count: int = 3, **options: Any) -> keras.Model:
    images = _images(**options)
    return keras.Model(images, layers.Dense(count)(layers.Flatten()(features(images))))


def _embedding() -> keras.Model:
    images = _images()
    vector = layers.UnitNormalization()(layers.Dense(16)(layers.Flatten()(images)))
    return keras.Model(images, vector)


def _nested_softmax() -> keras.Model:
    inner = keras.Sequential([layers.Flatten(), layers.Dense(5), layers.Softmax()])
    images = _images()
    return keras.Model(images, inner(images))


def _ops_softmax() -> keras.Model:
    images = _images()
    return keras.Model(images, ops.softmax(layers.Dense(5)(layers.Flatten()(images))))


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.flatten, self.dense = layers.Flatten(), layers.Dense(4)

    def call(self, images: Any) -> Any:
        return tf.nn.softmax(self.dense(self.flatten(images)))


def _subclassed() -> keras.Model:
    model = Subclassed()
    model(np.zeros((1, 12, 10, 3), np.float32))
    return model


class Mean(keras.Model):
    def call(self, images: Any) -> Any:
        return ops.mean(images * 3.0)


def _scalar() -> keras.Model:
    model = Mean()
    model(np.zeros((1, 12, 10, 3), np.float32))
    return model


def _softmax_of_a_map() -> keras.Model:
    """Over the last axis of a map: no classes of the image."""
    images = _images()
    return keras.Model(images, layers.Softmax()(layers.Conv2D(4, 3, name="seg")(images)))


def _softmax_of_the_batch() -> keras.Model:
    images = _images()
    scores = layers.Dense(5)(layers.Flatten()(images))
    return keras.Model(images, ops.softmax(scores, axis=0))


def _segmentation() -> keras.Model:
    images = _images(None, None, 3)
    return keras.Model(
        images, layers.Conv2D(2, 3, padding="same", activation="sigmoid", name="mask")(images)
    )


def _free_size() -> keras.Model:
    images = _images(None, None, 3)
    features = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(images))
    return keras.Model(images, layers.Dense(3)(features))


def _several() -> keras.Model:
    left, right = keras.Input((8, 8, 1), name="left"), keras.Input((6,), name="right")
    joined = layers.Concatenate()([layers.Flatten()(left), right])
    outputs = {"total": layers.Dense(3)(joined), "picture": layers.Conv2D(2, 3)(left)}
    return keras.Model({"left": left, "right": right}, outputs)


def _fixed_batch() -> keras.Model:
    images = keras.Input(batch_shape=(4, 12, 10, 3))
    return keras.Model(images, layers.Dense(3)(layers.Flatten()(images)))


def _flattened() -> keras.Model:
    images = _images()
    return keras.Model(images, ops.reshape(layers.Conv2D(1, 3)(images), (-1,)))


def _own_theta() -> keras.Model:
    images = _images()
    crops, theta = _transformer((8, 8), return_theta=True)(images)
    return keras.Model(images, {"scores": layers.Dense(3)(layers.Flatten()(crops)), "theta": theta})


def _channels_first() -> keras.Model:
    images = _images(3, 12, 10)
    turned = layers.Permute((2, 3, 1))(images)
    return keras.Model(images, layers.Dense(3)(layers.Flatten()(layers.Conv2D(4, 3)(turned))))


def _half(policy: str) -> Callable[[], tuple[keras.Model, Any]]:
    """A model in half precision, and the same weights in float32."""

    def made(name: str) -> keras.Model:
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(name)
        try:
            images = _images()
            features = layers.Conv2D(4, 3)(_transformer((8, 8))(images))
            return keras.Model(images, layers.Dense(3, name="score")(layers.Flatten()(features)))
        finally:
            keras.config.set_dtype_policy(before)

    def build() -> tuple[keras.Model, Any]:
        model, single = made(policy), made("float32")
        single.set_weights([np.asarray(w, np.float32) for w in model.get_weights()])
        return model, single

    return build


def _random_layers(images: Any) -> Any:
    for layer in (
        layers.RandomFlip(),
        layers.RandomRotation(0.2),
        layers.RandomZoom(0.2),
        layers.RandomTranslation(0.1, 0.1),
    ):
        images = layer(images)
    return images


def _moved(images: Any) -> Any:
    transform = np.array([[0.8, 0.1, 1.0, -0.1, 0.9, 2.0, 0.0, 0.0]], np.float32)
    return ops.image.affine_transform(images, transform)


def _named_function() -> Any:
    weights = tf.Variable(np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec([None, 12, 10, 3], name="photo")])
    def score(photo: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"score": tf.reduce_mean(photo, [1, 2]) @ weights}

    score.keep = weights
    return score


def _concrete_function() -> Any:
    weights = tf.Variable(np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32))
    function = tf.function(lambda photo: tf.nn.softmax(tf.reduce_mean(photo, [1, 2]) @ weights))
    concrete = function.get_concrete_function(tf.TensorSpec([None, 12, 10, 3], name="photo"))
    concrete.keep = weights
    return concrete


def _bfloat16_output() -> Any:
    @tf.function(input_signature=[tf.TensorSpec([None, 12, 10, 3], name="photo")])
    def mean(photo: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.reduce_mean(photo, [1, 2]), tf.bfloat16)

    return mean


def _module() -> Any:
    class Scorer(tf.Module):
        def __init__(self) -> None:
            self.weights = tf.Variable([[1.0], [2.0], [-1.0]])

        @tf.function(input_signature=[tf.TensorSpec([None, 12, 10, 3], name="photo")])
        def __call__(self, photo: tf.Tensor) -> tf.Tensor:
            return tf.sigmoid(tf.reduce_mean(photo, [1, 2]) @ self.weights)

    module = Scorer()
    return module, lambda photo: module(photo)


def _compiled_function() -> Any:
    @tf.function(jit_compile=True)
    def squared(features: tf.Tensor) -> tf.Tensor:
        return features * features

    return _head(lambda images: layers.Lambda(squared)(images))


def _tokens() -> keras.Model:
    words = keras.Input((10,), dtype="int32")
    features = layers.GlobalAveragePooling1D()(layers.Embedding(50, 8)(words))
    return keras.Model(words, layers.Dense(2)(features))


def _attention() -> keras.Model:
    images = _images()
    patches = layers.Reshape((-1, 8))(layers.Conv2D(8, 4, strides=2)(images))
    seen = layers.LayerNormalization()(layers.MultiHeadAttention(2, 4)(patches, patches))
    features = layers.Dense(8, activation="gelu")(layers.GlobalAveragePooling1D()(seen))
    return keras.Model(images, layers.Dense(4, activation="softmax")(features))


def _own_class() -> keras.Model:
    """Tells the class itself, with `argmax`, which reads the sign bits of zeros."""
    images = _images()
    shares = layers.Dense(3, activation="softmax")(layers.Flatten()(images))
    return keras.Model(images, {"shares": shares, "class": ops.argmax(shares, axis=-1)})


def _mobile_blocks() -> keras.Model:
    """What the applications are made of, once: an inverted residual with squeeze and excitation."""
    images = _images()
    features = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(images)
    features = layers.BatchNormalization()(layers.ZeroPadding2D(1)(features))
    inner = layers.Activation("hard_swish")(layers.Conv2D(16, 1)(features))
    inner = layers.DepthwiseConv2D(3, padding="same")(inner)
    share = layers.GlobalAveragePooling2D(keepdims=True)(inner)
    share = layers.Conv2D(16, 1, activation="hard_sigmoid")(layers.ReLU(6.0)(share))
    features = layers.Add()([features, layers.Conv2D(8, 1)(layers.Multiply()([inner, share]))])
    features = layers.LayerNormalization()(layers.SeparableConv2D(8, 3)(features))
    features = layers.GlobalMaxPooling2D()(layers.Activation("gelu")(features))
    return keras.Model(images, layers.Dense(5, activation="softmax")(features))


def _two_heads() -> keras.Model:
    images = _images()
    features = layers.Flatten()(images)
    softmax = layers.Dense(3, activation="softmax")(features)
    return keras.Model(images, [softmax, layers.Dense(4, name="box")(features)])


def _application(name: str, size: int) -> Callable[[], keras.Model]:
    return lambda: getattr(keras.applications, name)(
        weights=None, input_shape=(size, size, 3), classes=7
    )


def _transformer_in_front() -> keras.Model:
    images = _images(96, 80, 3)
    body = keras.applications.MobileNetV3Small(
        weights=None, input_shape=(64, 64, 3), include_top=False, pooling="avg"
    )
    features = body(_transformer((64, 64))(images))
    return keras.Model(images, layers.Dense(5, activation="softmax")(features))


_PHOTO = {"photo": ((3, 12, 10, 3), (0, 1))}
_BYTES = {"images": ((3, 12, 10, 3), (0, 255))}
_FREE = {"images": ((2, 33, 47, 3), (-1, 1))}

MODELS = {
    "binary": Foreign(lambda: _dense(1, "sigmoid"), derived=PROBABLE, task="binary"),
    "declared_binary": Foreign(
        lambda: _dense(1),
        derived=PROBABLE,
        task="binary",
        declared={"task": "binary", "classes": ("no", "yes"), "input_range": (0, 1)},
        slow=True,
    ),
    "regression": Foreign(
        lambda: _dense(4),
        declared={"task": "regression", "input_range": (0, 255)},
        task="regression",
        feeds=_BYTES,
        slow=True,
    ),
    "large_numbers": Foreign(
        lambda: _head(lambda images: layers.Rescaling(1e5)(images)),
        declared={"task": "regression", "input_range": (0, 1)},
        task="regression",
        slow=True,
    ),
    "embedding": Foreign(_embedding, declared={"task": "embedding"}, task="embedding"),
    "multilabel": Foreign(
        lambda: _dense(4, "sigmoid"),
        derived=("probabilities",),
        declared={"task": "multilabel", "classes": tuple("abcd"), "input_range": (-1, 1)},
        task="multilabel",
        feeds={"images": ((3, 12, 10, 3), (-1, 1))},
    ),
    "undecided_sigmoid": Foreign(lambda: _dense(4, "sigmoid")),
    "undecided_logits": Foreign(lambda: _dense(10, name="scores"), outputs=("scores",)),
    "nested_softmax": Foreign(_nested_softmax, derived=PROBABLE, task="classification"),
    "ops_softmax": Foreign(_ops_softmax, derived=PROBABLE, task="classification"),
    "subclassed_softmax": Foreign(_subclassed, derived=PROBABLE, task="classification"),
    "softmax_of_a_map": Foreign(_softmax_of_a_map),
    "softmax_of_the_batch": Foreign(_softmax_of_the_batch),
    "given_classes": Foreign(
        lambda: _dense(3),
        outputs=("logits",),
        derived=PROBABLE,
        declared={"classes": ("ant", "bee", "cat"), "input_range": (0, 1)},
        task="classification",
        slow=True,
    ),
    "bytes_input": Foreign(
        lambda: _head(layers.Rescaling(1 / 255), dtype="uint8"),
        feeds={"images": ((3, 12, 10, 3), "uint8")},
    ),
    "scales_bytes": Foreign(lambda: _head(layers.Rescaling(1 / 127.5, offset=-1)), feeds=_BYTES),
    "normalises": Foreign(
        lambda: _head(layers.Normalization(mean=[120, 110, 100], variance=[2500, 2400, 2600])),
        declared={"input_range": (0, 255)},
        feeds=_BYTES,
    ),
    "mean_and_deviation": Foreign(
        lambda: _dense(3),
        declared={
            "input_range": (0, 1),
            "input_mean": (0.485, 0.456, 0.406),
            "input_std": (0.229, 0.224, 0.225),
        },
        feeds={"images": ((3, 12, 10, 3), (-2, 2))},
        slow=True,
    ),
    "blue_first": Foreign(
        lambda: _dense(3),
        declared={"input_range": (0, 255), "color_space": "bgr"},
        feeds=_BYTES,
        slow=True,
    ),
    "free_size": Foreign(_free_size, declared={"input_range": (-1, 1)}, feeds=_FREE, slow=True),
    "segmentation": Foreign(
        _segmentation,
        outputs=("mask",),
        declared={"task": "dense", "input_range": (-1, 1)},
        task="dense",
        feeds=_FREE,
    ),
    "several": Foreign(
        _several,
        outputs=("total", "picture"),
        feeds={"left": ((3, 8, 8, 1), (0, 1)), "right": ((3, 6), (0, 1))},
    ),
    "own_class": Foreign(
        _own_class,
        outputs=("shares", "class"),
        derived=("probabilities",),
        declared={"classes": ("ant", "bee", "cat"), "input_range": (0, 1)},
        task="classification",
        slow=True,
    ),
    "two_heads": Foreign(_two_heads, outputs=("output", "box")),
    "fixed_batch": Foreign(_fixed_batch, feeds={"images": ((4, 12, 10, 3), (0, 1))}),
    "flattened": Foreign(_flattened),
    "scalar": Foreign(_scalar),
    "tokens": Foreign(_tokens, feeds={"input": ((3, 10), "int32")}),
    "own_theta": Foreign(
        _own_theta,
        outputs=("scores", "theta"),
        derived=tuple(f"transformer_{look}" for look in LOOKS),
    ),
    "channels_first": Foreign(
        _channels_first,
        declared={"input_range": (0, 1)},
        feeds={"images": ((3, 3, 12, 10), (0, 1))},
    ),
    "mixed_bfloat16": Foreign(
        _half("mixed_bfloat16"),
        outputs=("score",),
        derived=LOOKS,
        declared={"input_range": (0, 1)},
    ),
    "float16": Foreign(_half("float16"), outputs=("score",), derived=LOOKS, slow=True),
    "random_layers": Foreign(lambda: _head(_random_layers)),
    "affine_transform": Foreign(lambda: _head(_moved)),
    "attention": Foreign(_attention, derived=PROBABLE, task="classification", slow=True),
    "mobile_blocks": Foreign(_mobile_blocks, derived=PROBABLE, task="classification"),
    "compiled_function": Foreign(_compiled_function),
    "function": Foreign(_named_function, outputs=("score",), feeds=_PHOTO),
    "concrete_function": Foreign(
        _concrete_function, derived=PROBABLE, task="classification", feeds=_PHOTO
    ),
    "bfloat16_output": Foreign(_bfloat16_output, feeds=_PHOTO),
    "module": Foreign(_module, derived=PROBABLE, task="binary", feeds=_PHOTO),
    **{
        name: Foreign(
            _application(name, size),
            outputs=(output,),
            derived=PROBABLE,
            declared={"input_range": span},
            task="classification",
            feeds={"images": ((2, size, size, 3), span)},
            slow=True,
        )
        for name, size, span, output in (
            ("MobileNetV3Small", 64, (0, 255), "predictions"),
            ("EfficientNetV2B0", 64, (0, 255), "predictions"),
            ("ResNet50V2", 64, (-1, 1), "predictions"),
            ("ConvNeXtTiny", 32, (0, 255), "convnext_tiny_head_dense"),
        )
    },
    "transformer_in_front": Foreign(
        _transformer_in_front,
        derived=(*PROBABLE, *LOOKS),
        declared={"input_range": (0, 255)},
        task="classification",
        feeds={"images": ((2, 96, 80, 3), (0, 255))},
        slow=True,
    ),
}
