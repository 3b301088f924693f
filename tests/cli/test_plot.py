"""`stn-tf plot` on a real exported model."""

from pathlib import Path

import keras
import numpy as np
from click.testing import CliRunner, Result
from PIL import Image

from stn_tf.cli.main import main
from stn_tf.export import export_model


def _plot(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["plot", *map(str, arguments)])


def test_draws_what_it_is_asked_for(model_dir, images, tmp_path):
    np.save(tmp_path / "images.npy", images)
    sizes = []
    for count in (1, 5, 9):
        output = tmp_path / f"{count}.png"
        result = _plot(model_dir, tmp_path / "images.npy", "--output", output, "--count", count)
        assert result.exit_code == 0, result.output
        assert result.stdout == f"{output}\n"
        with Image.open(output) as opened:
            picture = np.asarray(opened.convert("RGB"))
        sizes.append(picture.shape)
        # The outline, its upper edge and the sampling points have colours of their own.
        for colour in ("#ff8a1f", "#ff3d81", "#35d0f2"):
            wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
            assert (np.abs(picture.astype(int) - wanted).max(axis=-1) < 40).any(), colour
    # Up to five side by side, then a second row.
    assert sizes[0][1] < sizes[1][1] == sizes[2][1]
    assert sizes[0][0] == sizes[1][0] < sizes[2][0]


def test_damaged_image_is_passed_over(model_dir, folder, tmp_path):
    result = _plot(model_dir, folder, "--output", tmp_path / "look.svg")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "look.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_model_without_transformer_exception_raised(tmp_path, images):
    inputs = keras.Input((14, 12, 1))
    plain = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)), name="plain")
    export_model(plain, tmp_path / "model", input_range=(0, 1))
    np.save(tmp_path / "images.npy", images)
    result = _plot(tmp_path / "model", tmp_path / "images.npy", "--output", tmp_path / "look.png")
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: `{tmp_path / 'model' / '1'}` holds a network without a spatial transformer "
        "(plain): there is nothing to draw.\n"
    )
    assert not (tmp_path / "look.png").exists()


def test_only_damaged_images_exception_raised(model_dir, tmp_path):
    (tmp_path / "damaged.png").write_bytes(b"no image")
    result = _plot(model_dir, tmp_path / "damaged.png", "--output", tmp_path / "look.png")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: No image can be decoded; the first, `")
    assert [path.name for path in tmp_path.iterdir() if path.name != "images"] == ["damaged.png"]


def test_output_of_another_format_is_wrong_usage(model_dir, tmp_path):
    result = _plot(model_dir, tmp_path, "--output", tmp_path / "look.docx")
    assert result.exit_code == 2
    assert "must end in one of .png, .svg, .pdf" in result.stderr
