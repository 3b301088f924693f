"""The picture shows where the exported model really reads."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import map_coordinates

from stn_tf.export import export_model
from stn_tf.serving.jobs.picture import _captions, picture
from stn_tf.serving.models import load_engine
from tests.export.conftest import make_classifier
from tests.serving import handmade
from tests.serving.conftest import CLASSES


@pytest.mark.parametrize(
    ("transform", "options"),
    [
        ("affine", {}),
        ("tps", {}),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (
                ("affine", {"align_corners": True}),
                ("attention", {}),
                ("similarity", {}),
                ("projective", {}),
                ("tps", {"transform_options": {"control_points": 3, "regularisation": 0.5}}),
            )
        ),
    ],
)
def test_points_are_those_that_the_crop_was_read_at(
    transform: str, options: dict, images: np.ndarray, tmp_path: Path
) -> None:
    export_model(
        make_classifier(transform, **options),
        tmp_path / "model",
        classes=CLASSES,
        input_range=(0, 1),
    )
    np.save(tmp_path / "images.npy", images)
    engine = load_engine(tmp_path / "model")
    figure = picture(engine, [tmp_path / "images.npy"], count=4)
    crops = engine.run(images[:4].astype(np.float32) / 255.0)["crops"]
    assert len(figure.axes) == 8
    for axes, image, crop in zip(figure.axes[::2], images, crops, strict=False):
        x, y = axes.lines[-1].get_xydata().T
        read = map_coordinates(image[..., 0] / 255.0, [y, x], order=1, mode="grid-constant")
        np.testing.assert_allclose(read, crop[..., 0].ravel(), atol=1e-4)


def test_captions_tell_right_from_wrong(
    model_dir: Path, images: np.ndarray, expected: dict, tmp_path: Path
) -> None:
    picked = expected["logits"].argmax(axis=-1)
    labels = np.where(np.arange(len(picked)) < 3, picked, (picked + 1) % 4)
    np.savez(tmp_path / "labelled.npz", images=images, labels=labels)
    figure = picture(load_engine(model_dir), [tmp_path / "labelled.npz"], count=9)
    captions = [axes.texts[0].get_text() for axes in figure.axes[1::2]]
    assert ["(is " in caption for caption in captions] == [False] * 3 + [True] * 6


def test_files_are_spread_over_those_found(
    model_dir: Path, images: np.ndarray, tmp_path: Path
) -> None:
    for index, image in enumerate(images[:9]):
        folder = tmp_path / "images" / "abc"[index // 3]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(folder / f"{index:02d}.png")
    figure = picture(load_engine(model_dir), [tmp_path / "images"], count=3)
    for axes, image in zip(figure.axes[::2], images[[0, 3, 6]], strict=True):
        np.testing.assert_allclose(drawn(axes).squeeze(), image[..., 0] / 255, atol=1e-6)


def drawn(axes: Any) -> np.ndarray:
    return np.asarray(axes.images[0].get_array())


@pytest.mark.parametrize("name", ["WIDE", "SIGNED"])
def test_several_crops_of_a_transform_of_ones_own(name: str, tmp_path: Path) -> None:
    """Outlines without points, and colours whatever the range, the order and the layout."""
    signed = handmade.WIDE.model_copy(update={"value_range": (-1.0, 1.0), "color_space": "bgr"})
    spec = {"WIDE": handmade.WIDE, "SIGNED": signed}[name]
    model = handmade.several_crops(tmp_path / "model", spec)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 6, 5, 3)).astype(np.uint8)
    np.save(tmp_path / "images.npy", pixels)
    figure = picture(load_engine(model.path), [tmp_path / "images.npy"])
    assert len(figure.axes) == 6
    for index, image in enumerate(pixels):
        whole, *crops = figure.axes[3 * index : 3 * index + 3]
        np.testing.assert_allclose(drawn(whole), image / 255, atol=1e-6)
        np.testing.assert_allclose(
            np.concatenate([drawn(c) for c in crops]), image / 255, atol=1e-6
        )
        outlines = [line.get_xydata() for line in whole.lines[::2]]
        assert [outline[0].tolist() for outline in outlines] == [[-0.5, -0.5], [-0.5, 2.5]]
        assert not crops[0].texts  # Nobody said what the output is.


def test_captions_by_task() -> None:
    def caption(make: Callable[[Path], Any], outputs: dict[str, Any]) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            interface = make(Path(folder) / "model").interface
        arrays = {name: np.array(value) for name, value in outputs.items()}
        return _captions(interface, arrays, np.array([-1]))

    found = caption(handmade.binary, {"probabilities": [[0.25, 0.75]], "class": [1]})
    assert found == {"classes": ["open"], "probabilities": [0.75], "labels": None}
    found = caption(handmade.multilabel, {"probabilities": [[0.5, 0.2, 0.9, 0.1]]})
    assert found == {"captions": ["sand, sky"]}
    assert caption(handmade.multilabel, {"probabilities": [[0.1] * 4]}) == {"captions": ["none"]}
    found = caption(handmade.regression, {"age": [[41.25]], "pose": [[1, 2, 3]]})
    assert found == {"captions": ["age 41.2  pose 1 2 3"]}
    assert caption(handmade.embedding, {"vector": [[1.0] * 8]}) == {}
