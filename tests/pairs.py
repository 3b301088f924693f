"""Products of choices: every pair of values in `make test`, everything in `make tests-full`.

What breaks breaks by one choice or by two together, seldom by three. So the rest of a product has
the mark `full`, which `make test` leaves out. Which rows stay is the same on every machine.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest


def covering(rows: Sequence[tuple], together: int = 2) -> list[int]:
    """Returns which rows together hold every pair of values that any row holds.

    Args:
        rows: Combinations, of equal length, of values that can be hashed. Not every combination of
            their values needs to be there.
        together: How many values a pair has; 1 where another test holds their pairs.

    Returns:
        Ascending indices. Greedy: the next row is the one that adds most pairs, the earliest of
        equals, which is within a few rows of the fewest there can be.
    """
    pairs = [set(itertools.combinations(enumerate(row), min(together, len(row)))) for row in rows]
    missing = set().union(*pairs)
    chosen = []
    while missing:
        best = max(range(len(rows)), key=lambda index: len(pairs[index] & missing))
        chosen.append(best)
        missing -= pairs[best]
    return sorted(chosen)


def parameters(
    values: Sequence[Any], row: Callable[[Any], tuple] = tuple, together: int = 2
) -> list[Any]:
    """Returns the arguments of `pytest.mark.parametrize` for a product.

    Args:
        values: The whole product: the argument of a test each, or a plain tuple of them.
        row: What was chosen in a value, a choice an axis.
        together: As for `covering`.
    """
    kept = set(covering([row(value) for value in values], together))
    return [
        pytest.param(
            *(value if type(value) is tuple else (value,)),
            marks=[] if index in kept else [pytest.mark.full],
        )
        for index, value in enumerate(values)
    ]


def every_pair(
    together: int = 2, indirect: Sequence[str] = (), **axes: Sequence[Any]
) -> pytest.MarkDecorator:
    """Parametrises a test by the product of all axes, by the names of its arguments.

    Args:
        together: As for `covering`.
        indirect: The axes that are fixtures, which find their value in `request.param`.
        axes: The values of each argument.
    """
    values = parameters([*itertools.product(*axes.values())], together=together)
    return pytest.mark.parametrize(tuple(axes), values, indirect=list(indirect))
