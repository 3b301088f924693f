"""How much arithmetic an operation is, from the sizes of its tensors.

A multiplication and an addition are 2, also where products are summed by an operation of its own.
Biases, activations and normalisation are left out, as is usual: they are a small part, and runtimes
fuse them.
"""

import math
from collections.abc import Sequence
from typing import TypeAlias

# -1 is a dimension that is not known, None a shape of which nothing is.
Shape: TypeAlias = Sequence[int] | None

_TAPS = {"nearest": 0, "bilinear": 2, "bicubic": 4}
_MATRIX = {"projective": 3 * 3}
_AFFINE = 2 * 3


def size(shape: Shape) -> int | None:
    """Returns the number of elements, if it is known."""
    return None if shape is None or any(dim < 0 for dim in shape) else math.prod(shape)


def products(*factors: int | None) -> int | None:
    """Returns the operations of so many products that are summed up, if all factors are known."""
    known = [factor for factor in factors if factor is not None]
    return 2 * math.prod(known) if len(known) == len(factors) else None


def dimension(shape: Shape, axis: int) -> int | None:
    """Returns one size, if it is known."""
    if shape is None or not -len(shape) <= axis < len(shape) or shape[axis] < 0:
        return None
    return shape[axis]


def sampler(samples: Shape, kernel: str | None, transform: str | None) -> int | None:
    """Returns the operations of a sampler.

    Args:
        samples: What it returns, channels last.
        kernel: Each sample is the sum of 2 weighted pixels along each axis, with `bicubic` of 4.
        transform: The family of matrices, if it computes the points: two sums of three products,
            or three for homographies.
    """
    count, channels = size(samples), dimension(samples, -1)
    if samples is None or count is None or not channels:
        return None
    taps = _TAPS.get(kernel or "bilinear", 2)
    weighted = taps ** (len(samples) - 2) if taps else 0
    points = 0 if transform is None else _MATRIX.get(transform, _AFFINE)
    return 2 * (count * weighted + count // channels * points)


def einsum(equation: str, shapes: Sequence[Shape]) -> int | None:
    """Returns the operations of an Einsum of two tensors without `...`."""
    terms = equation.replace(" ", "").split("->")[0].split(",")
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        if shape is None or len(term) != len(shape) or any(dim < 0 for dim in shape):
            return None
        sizes |= dict(zip(term, shape, strict=True))
    return 2 * math.prod(sizes.values())
