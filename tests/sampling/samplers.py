"""The sampler as an axis of a product, where a folder's fixture would double the product."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.pairs import every_pair

SAMPLERS = ("default", "portable")


def every_pair_with_samplers(**axes: Sequence[Any]) -> pytest.MarkDecorator:
    """`every_pair`, with the fixture `sampler` for one more axis."""
    return every_pair(indirect=["sampler"], sampler=SAMPLERS, **axes)
