"""Small networks with random weights, and one export of them that several tests read."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from stn_tf.export import ExportResult, export_model
from stn_tf.layers import SpatialTransformer, spatial_transformers

INPUT = (14, 12, 1)


def localisation() -> keras.Model:
    return keras.Sequential(
        [
            keras.layers.Conv2D(4, 5, strides=2, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )


def randomise(model: keras.Model) -> keras.Model:
    """Gives every theta a value of its own, away from the identity it starts at."""
    rng = np.random.default_rng(7)
    for transformer in spatial_transformers(model):
        for weight in (transformer.regression.dense.kernel, transformer.regression.dense.bias):
            weight.assign_add(rng.normal(0, 0.15, weight.shape))
    return model


def make_classifier(transform: str | None = "affine", **options: Any) -> keras.Model:
    keras.utils.set_random_seed(11)
    features = images = keras.Input(INPUT, name="images")
    if transform is not None:
        features = SpatialTransformer(localisation(), transform, (8, 9), **options)(images)
    logits = keras.layers.Dense(4, name="logits")(keras.layers.Flatten()(features))
    return randomise(keras.Model(images, logits, name="small"))


@pytest.fixture(scope="session")
def classifier() -> Callable[..., keras.Model]:
    return make_classifier


class TwoTransformers(keras.Model):
    """A user's own subclassed model: two transformers in series, and dropout."""

    def __init__(self) -> None:
        super().__init__(name="two")
        self.first = SpatialTransformer(localisation(), "affine", (11, 10))
        self.second = SpatialTransformer(localisation(), "attention", (6, 6), kernel="bicubic")
        self.flatten = keras.layers.Flatten()
        self.dropout = keras.layers.Dropout(0.5)
        self.dense = keras.layers.Dense(3)

    def call(self, images: Any, training: bool | None = None) -> Any:
        crops = self.second(self.first(images, training=training), training=training)
        return self.dense(self.dropout(self.flatten(crops), training=training))


@pytest.fixture(scope="session")
def two_transformers() -> keras.Model:
    keras.utils.set_random_seed(12)
    model = TwoTransformers()
    model(np.zeros((1, *INPUT), np.float32))
    return randomise(model)


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    return np.random.default_rng(5).uniform(size=(10, *INPUT)).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Exported:
    model: keras.Model
    out: Path
    result: ExportResult

    @property
    def version_dir(self) -> Path:
        return self.result.version_dir


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, images: np.ndarray) -> Exported:
    model = make_classifier()
    out = tmp_path_factory.mktemp("exports") / "deep" / "small"
    result = export_model(
        model,
        out,
        images=images,
        experiment="unit",
        classes=["ant", "bee", "cat", "dög"],
        input_range=(0, 1),
        error_percent=12.5,
    )
    return Exported(model, out, result)
