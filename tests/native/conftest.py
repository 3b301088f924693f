"""The compiled sampler is tested where it was built; elsewhere its tests say why not."""

import pytest

from stn_tf import native


@pytest.fixture(scope="session", autouse=True)
def _built() -> None:
    if not native.is_available():
        pytest.skip(f"the native sampler is not there: {native.load_error()}")
