"""Runs every test of this folder with either sampler."""

from collections.abc import Iterator

import pytest

from stn_tf import native, native_sampler


@pytest.fixture(scope="module", autouse=True, params=["default", "portable"])
def sampler(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "default":
        if not native.is_available():
            pytest.skip(f"the native sampler is not there: {native.load_error()}")
        yield "default"
        return
    with native_sampler(False):
        yield "portable"
