"""One image file, as the folder source sees it."""

from pathlib import Path

import numpy as np
from PIL import Image

from stn_tf.data import read_image
from stn_tf.data.image_file import fitted


def test_read_image_turns_fits_and_flattens(tmp_path: Path) -> None:
    values = np.arange(6 * 4, dtype=np.uint8).reshape(6, 4) * 10
    exif = Image.Exif()
    exif[0x0112] = 6  # To be turned clockwise by a quarter.
    Image.fromarray(values).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(
        read_image(tmp_path / "turned.png", channels=1)[..., 0], np.rot90(values, -1)
    )
    # 6 x 4 in 6 x 10: as it is, with three black columns on each side.
    Image.fromarray(values).save(tmp_path / "tall.png")
    small = read_image(tmp_path / "tall.png", (6, 10), channels=1)[..., 0]
    np.testing.assert_array_equal(small, np.pad(values, ((0, 0), (3, 3))))
    assert fitted((6, 4), (6, 10)) == (3, 0, 4, 6)
    transparent = np.full((2, 2, 4), 200, np.uint8)
    transparent[..., 3] = 0
    Image.fromarray(transparent).save(tmp_path / "clear.png")
    np.testing.assert_array_equal(read_image(tmp_path / "clear.png"), np.zeros((2, 2, 3)))
    deep = np.array([[0, 65535]], np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png", channels=1)[..., 0], [[0, 255]])
