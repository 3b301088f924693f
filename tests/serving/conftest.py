"""One small exported model, and images of its size and of others."""

from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from stn_tf.export import export_model
from stn_tf.layers import record_transformations
from tests.export.conftest import INPUT, make_classifier, two_transformers

__all__ = ["two_transformers"]

CLASSES = ("ant", "bee", "cat", "dög")


@pytest.fixture(scope="session")
def model() -> keras.Model:
    return make_classifier()


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory, model: keras.Model) -> Path:
    out = tmp_path_factory.mktemp("exports") / "small"
    export_model(model, out, experiment="unit", classes=CLASSES, input_range=(0, 1))
    return out


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (9, *INPUT)).astype(np.uint8)


@pytest.fixture(scope="session")
def expected(model: keras.Model, images: np.ndarray) -> dict[str, np.ndarray]:
    """What the live model says of the images."""
    with record_transformations() as records:
        logits = np.asarray(model(images.astype(np.float32) / 255.0, training=False))
    return {"logits": logits, "theta": np.asarray(records[0].theta)}


@pytest.fixture
def folder(tmp_path: Path, images: np.ndarray) -> Path:
    """Eight images as PNG files, some in a sub-folder, and a damaged one among them."""
    folder = tmp_path / "images"
    (folder / "more").mkdir(parents=True)
    for index, image in enumerate(images[:8]):
        place = folder / "more" if index >= 6 else folder
        Image.fromarray(image[..., 0]).save(place / f"{index}.png")
    whole = (folder / "0.png").read_bytes()
    (folder / "3a.png").write_bytes(whole[: len(whole) // 2])
    return folder
