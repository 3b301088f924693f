"""`stn-tf data show` on real photographs."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from stn_tf.cli.main import main
from stn_tf.data.augmentation import Augmentation


def _show(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["data", "show", *map(str, arguments)])


def test_draws_what_it_is_asked_for(cub_dir, tmp_path):
    sizes, pictures = [], []
    for name, settings, count in (
        ("a.png", "augment=strong", 3),
        ("b.png", 'augment={base="none", rotate=40}', 3),
        ("c.png", "augment=none", 4),
    ):
        output = tmp_path / name
        result = _show(
            cub_dir, "--output", output, "--set", settings, "--set", "image_size=48",
            "--images", count, "--versions", 2,
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        summary, path = result.stdout.splitlines()
        assert path == str(output)
        assert summary.startswith("augmentation: ")
        with Image.open(output) as opened:
            pictures.append(np.asarray(opened.convert("RGB"), np.float32))
        sizes.append(pictures[-1].shape)
    assert summary == Augmentation.of("none").summary()
    assert sizes[0][1] == sizes[1][1] == sizes[2][1]
    # A row more.
    assert sizes[1][0] + 200 < sizes[2][0]
    # The images themselves stand at the left, whatever is done to them.
    rows, columns = slice(-400, None), sizes[0][1] // 3 - 20
    np.testing.assert_array_equal(*(picture[rows, :columns] for picture in pictures[:2]))
    assert np.abs(pictures[0][rows] - pictures[1][rows]).mean() > 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "augment=heavy"], "`augment` must be one of none, light, standard"),
        (["--set", "augment={rotated=3}"], "`augment.rotated` is not a setting"),
        (["--set", "augmented=strong"], "`augmented` is not a setting. Did you mean `augment`?"),
        (["--set", "data=my.module:images"], "`data` must be a folder, a table or shards"),
    ],
)
def test_wrong_settings_exception_raised(cub_dir, tmp_path, arguments, message):
    result = _show(cub_dir, "--output", tmp_path / "sheet.png", *arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_missing_folder_exception_raised(tmp_path):
    result = _show(tmp_path / "nothing", "--output", tmp_path / "sheet.png")
    assert result.exit_code == 1
    assert "nothing" in result.stderr


def test_output_of_another_format_is_wrong_usage(tmp_path):
    result = _show(tmp_path, "--output", tmp_path / "sheet.docx")
    assert result.exit_code == 2
    assert "must end in one of .png, .svg, .pdf" in result.stderr


def test_help_has_examples():
    result = CliRunner().invoke(main, ["data", "show", "--help"])
    assert result.exit_code == 0
    assert "stn-tf data show " in result.output.split("Example", 1)[1]
