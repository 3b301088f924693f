"""Runs every test of this folder with either sampler.

A test of a product takes it as one more axis, with `every_pair_with_samplers`.
"""

from collections.abc import Iterator

import pytest

from stn_tf import native, native_sampler
from tests.sampling.samplers import SAMPLERS


@pytest.fixture(scope="module", autouse=True, params=SAMPLERS)
def sampler(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "default":
        if not native.is_available():
            pytest.skip(f"the native sampler is not there: {native.load_error()}")
        yield "default"
        return
    with native_sampler(False):
        yield "portable"
