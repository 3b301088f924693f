"""The part of a product that `make test` runs leaves out no value and no pair of values."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pairs import covering, every_pair, parameters


def pairs_of(rows: list[tuple]) -> set:
    return {pair for row in rows for pair in itertools.combinations(enumerate(row), 2)}


@settings(max_examples=50)
@given(st.lists(st.integers(1, 4), min_size=2, max_size=4), st.data())
def test_covering_random(lengths: list[int], data: st.DataObject) -> None:
    rows = list(itertools.product(*map(range, lengths)))
    kept = data.draw(st.lists(st.sampled_from(rows), min_size=1, unique=True))
    chosen = covering(kept)
    assert chosen == sorted(set(chosen)) == covering(kept)
    assert pairs_of([kept[index] for index in chosen]) == pairs_of(kept)


def test_covering_preset() -> None:
    axes = ("abcdef", "xyz", "123", (False, True))
    rows = list(itertools.product(*axes))
    # No fewer can hold every pair of the two longest axes.
    assert len(rows) == 108
    assert 18 <= len(covering(rows)) <= 20
    assert len(covering(rows, together=1)) == 6
    assert covering([("a", 1)]) == covering([("a",)]) == [0]
    assert covering([]) == []


def test_parameters_mark_the_rest() -> None:
    values = list(itertools.product("abc", "xyz", (0, 1)))
    made = parameters(values)
    assert [parameter.values for parameter in made] == values
    marked = [[mark.name for mark in parameter.marks] for parameter in made]
    kept = set(covering(values))
    assert marked == [[] if index in kept else ["full"] for index in range(len(values))]
    assert 9 <= len(kept) < 18


@every_pair(left=["a", "b"], right=[1, 2])
def test_every_pair_names_the_arguments(
    left: str, right: int, request: pytest.FixtureRequest
) -> None:
    assert request.node.callspec.params == {"left": left, "right": right}
