"""Checks of arguments, so that every wrong shape is worded in the same way.

Only what is known statically is checked: unknown ranks and dimensions pass.
"""

import numbers
from collections.abc import Sequence
from typing import Any

import tensorflow as tf


def _words(shape: Sequence[int | str | None]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"


def check_rank(name: str, tensor: Any, ranks: Sequence[int], layout: str) -> None:
    """Raises ValueError if the rank of `tensor` is known and not one of `ranks`."""
    shape = tensor.shape
    if shape.rank is not None and shape.rank not in ranks:
        raise ValueError(f"`{name}` must be {layout}, but it has shape {_words(shape.as_list())}.")


def check_trailing(name: str, tensor: Any, trailing: Sequence[int]) -> None:
    """Raises ValueError if the last dimensions of `tensor` are known and not `trailing`."""
    if tensor.shape.rank is None:
        return
    shape = tensor.shape.as_list()
    last = shape[-len(trailing) :]
    fits = len(last) == len(trailing) and all(
        size is None or size == rule for size, rule in zip(last, trailing, strict=True)
    )
    if not fits:
        raise ValueError(
            f"`{name}` must have shape {_words(['...', *trailing])}, "
            f"but it has shape {_words(shape)}."
        )


def check_size(name: str, size: Sequence[int], rank: int) -> tuple[int, ...]:
    """Returns `size` as a tuple of `rank` positive integers, or raises ValueError."""
    axes = "(depth, height, width)" if rank == 3 else "(height, width)"
    try:
        values = tuple(int(value) for value in size)
        whole = all(value == given for value, given in zip(values, size, strict=True))
    except (TypeError, ValueError):
        raise ValueError(f"`{name}` must be {axes} in pixels, but it is {size!r}.") from None
    if len(values) != rank or not whole or min(values) < 1:
        raise ValueError(
            f"`{name}` must be {axes} in pixels, each an integer of at least 1, but it is {size!r}."
        )
    return values


def check_dynamic_size(name: str, size: Any, rank: int) -> tuple[int, ...] | tf.Tensor:
    """Returns what `check_size` does, or a tensor int32 `[rank]` where it is not known yet."""
    parts = size if isinstance(size, tuple | list) else (size,)
    if not any(tf.is_tensor(part) for part in parts):
        return check_size(name, size, rank)
    tensor = tf.convert_to_tensor(size)
    if not (tensor.dtype.is_integer and tensor.shape.is_compatible_with([rank])):
        raise ValueError(
            f"`{name}` must be an integer tensor of shape [{rank}], but it is "
            f"{tensor.dtype.name} of shape {tensor.shape}. Take it from tf.shape(images)."
        )
    known = tf.get_static_value(tensor)
    if known is not None:
        return check_size(name, known.tolist(), rank)
    return tf.ensure_shape(tf.cast(tensor, tf.int32), [rank])


def check_count(name: str, value: Any) -> int:
    """Returns `value` if it is a whole number of at least 1, or raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(f"`{name}` must be an integer of at least 1, but it is {value!r}.")
    return int(value)


def check_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """Returns `value` if it is one of `choices`, or raises ValueError that lists them."""
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"`{name}` must be one of {listed}, but it is {value!r}.")
    return str(value)


def check_floating(name: str, tensor: Any) -> None:
    """Raises TypeError if `tensor` does not hold floating-point numbers."""
    if not tensor.dtype.is_floating:
        raise TypeError(
            f"`{name}` must hold floating-point numbers, but its dtype is {tensor.dtype.name}. "
            f"Convert it, for example with tf.cast({name}, tf.float32)."
        )
