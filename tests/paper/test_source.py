"""Settings that no source takes."""

from pathlib import Path

import pytest

from stn_tf.errors import ConfigError
from stn_tf.paper import load_source


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (["imagenet"], {}, "`source` must be one of digits, mnist, folder, but it is 'imagenet'"),
        (["folder"], {}, "`data_dir` must name the folder"),
        (["digits", Path("x")], {}, "the source digits is embedded and reads no folder"),
        (["digits"], {"image_size": (32, 32)}, "`image_size` is .* Leave it out"),
        (["digits"], {"channels": 3}, "the images of digits are grey"),
        (["digits"], {"channels": 2}, "`channels` must be 1"),
    ],
)
def test_wrong_setting_exception_raised(arguments: list, options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_source(*arguments, **options)
