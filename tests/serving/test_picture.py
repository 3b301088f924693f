"""The picture shows where the exported model really reads."""

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from stn_tf.export import export_model
from stn_tf.serving.jobs.picture import picture
from stn_tf.serving.models import load_engine
from tests.export.conftest import make_classifier


@pytest.mark.parametrize(
    ("transform", "options"),
    [
        ("affine", {}),
        ("affine", {"align_corners": True}),
        ("attention", {}),
        ("similarity", {}),
        ("projective", {}),
        ("tps", {}),
        ("tps", {"transform_options": {"control_points": 3, "regularisation": 0.5}}),
    ],
)
def test_points_are_those_that_the_crop_was_read_at(
    transform: str, options: dict, images: np.ndarray, tmp_path: Path
) -> None:
    export_model(make_classifier(transform, **options), tmp_path / "model")
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
