"""Many names in little memory."""

import hashlib
import os
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stn_tf.data.names import Names

TEXTS = st.lists(st.binary(max_size=12).map(os.fsdecode), max_size=20)


@given(TEXTS)
def test_names_are_a_sequence_of_text(texts: list[str]) -> None:
    names = Names(texts)
    assert len(names) == len(texts)
    assert list(names) == texts
    assert [names[index] for index in range(-len(texts), len(texts))] == texts * 2
    assert list(names[1:-1]) == texts[1:-1]
    assert list(names.take(np.arange(len(texts))[::-1])) == texts[::-1]
    assert names == Names(texts)
    assert (names == Names([*texts, ""])) is False
    assert names != texts


def test_index_exception_raised() -> None:
    with pytest.raises(IndexError, match="`index` must be below 2, but it is 2"):
        Names(["a", "b"])[2]
    with pytest.raises(IndexError, match="below 0"):
        Names()[-1]


def test_digest_tells_borders_and_order() -> None:
    digests = {Names(n).digest() for n in (["ab", "c"], ["a", "bc"], ["c", "ab"], ["abc"], [])}
    assert len(digests) == 5
    assert all(len(digest) == hashlib.sha256().digest_size for digest in digests)


def test_names_take_few_bytes() -> None:
    names = Names(f"class-{index % 20:02}/photograph-{index:06}.jpg" for index in range(10_000))
    held = sys.getsizeof(names._content) + names._ends.nbytes
    assert held < 10_000 * (len("class-00/photograph-000000.jpg") + 9)
    assert names[9_999] == "class-19/photograph-009999.jpg"
