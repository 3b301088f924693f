"""Which sampler computes: the compiled one, or the one in stock operations."""

import contextlib
import dataclasses
import gc
import os
import warnings
import weakref
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import tensorflow as tf
from tensorflow.python.ops import control_flow_util

VARIABLE = "STN_TF_SAMPLER"
_CHOICES = ("native", "portable")


@dataclasses.dataclass
class _Block:
    """A `with native_sampler(...)`, and whether anything sampled inside."""

    use: bool
    outer: "_Block | None"
    sampled: bool = False


_block: ContextVar[_Block | None] = ContextVar("stn_tf_native_sampler", default=None)
# Graphs that the samplers were traced into, by which: with stock operations for want of a choice.
_portable_graphs: weakref.WeakSet[Any] = weakref.WeakSet()
_native_graphs: weakref.WeakSet[Any] = weakref.WeakSet()


@contextlib.contextmanager
def native_sampler(use: bool = True) -> Iterator[None]:
    """Has the compiled sampler compute what is called, or traced into a graph, inside.

        model.compile("adam", loss, jit_compile=False)  # Keras chooses XLA otherwise
        with stn_tf.native_sampler():
            model.fit(...)

    Without it, eager calls use the compiled sampler and graphs the one in stock operations, so
    that a SavedModel written anywhere runs in a stock TensorFlow. Under XLA, on a GPU and where
    the library is missing it is always the one in stock operations. In steps of several replicas
    it belongs inside the replica's function, which TensorFlow may trace in a thread of its own.

    A function keeps the sampler that it was traced with. The block warns (UserWarning) where it
    certainly changed nothing: nothing sampled was called or traced inside, and every function
    that samples was traced before, outside of such a block.

    Args:
        use: False has the sampler in stock operations compute, eager calls included.
    """
    with _asking(bool(use)) as block:
        yield
    if use and not block.sampled and _only_portable_functions():
        # The caller of `with`, beyond this generator and contextlib.
        warnings.warn(
            "`native_sampler()` changed nothing: no sampler was called or traced inside, and "
            "functions traced before keep the one in stock operations. Trace them inside: "
            "call model.compile(...) before the block, or inside "
            "model.make_train_function(force=True) or model.make_predict_function(force=True).",
            UserWarning,
            stacklevel=3,
        )


@contextlib.contextmanager
def preferred_sampler() -> Iterator[None]:
    """Has the compiled sampler compute inside unless the user asked for the other.

    For graphs that are run here and never saved.
    """
    with _asking(wish() is not False):
        yield


@contextlib.contextmanager
def _asking(use: bool) -> Iterator[_Block]:
    block = _Block(use, _block.get())
    token = _block.set(block)
    try:
        yield block
    finally:
        _block.reset(token)


def _only_portable_functions() -> bool:
    from stn_tf import native

    if native.load_error() is not None or not _portable_graphs or _native_graphs:
        return False
    # Graphs are in cycles: those that nobody can run any more must not count.
    gc.collect()
    return bool(_portable_graphs)


def use_native(images: tf.Tensor, points: tf.Tensor) -> bool:
    """Whether the compiled sampler computes this call."""
    native = refusal(images.dtype, points.dtype, images.device) is None
    block = _block.get()
    while block is not None:
        block.sampled = True
        block = block.outer
    if not tf.executing_eagerly() and not in_xla():
        if native:
            _native_graphs.add(_outermost_graph())
        elif wish() is None:
            _portable_graphs.add(_outermost_graph())
    return native


def _outermost_graph() -> Any:
    """The graph of the function that is called from Python, around functions and branches."""
    graph: Any = tf.compat.v1.get_default_graph()
    while hasattr(getattr(graph, "outer_graph", None), "outer_graph"):
        graph = graph.outer_graph
    return graph


def refusal(images: tf.DType, points: tf.DType, device: str = "") -> str | None:
    """Says why the compiled sampler does not compute a call made here; None if it does."""
    if in_xla():
        return "XLA compiles stock operations only"
    wanted = wish()
    if wanted is None and not tf.executing_eagerly():
        return "graphs hold stock operations unless `stn_tf.native_sampler()` says otherwise"
    if wanted is False:
        return f"it was asked for, with `native_sampler(False)` or {VARIABLE}=portable"
    if _off_cpu(device):
        return "it computes on CPUs only, and this is a GPU or TPU"
    if points != (tf.float64 if images == tf.float64 else tf.float32):
        return f"it has no kernel for {images.name} images with {points.name} points"
    from stn_tf import native

    return native.load_error()


def wish() -> bool | None:
    """Returns what `native_sampler` or the environment asks for; None if neither does.

    Raises:
        ValueError: If the environment variable holds anything but `native` or `portable`.
    """
    block = _block.get()
    if block is not None:
        return block.use
    variable = os.environ.get(VARIABLE)
    if not variable:
        return None
    if variable not in _CHOICES:
        raise ValueError(
            f"The environment variable {VARIABLE} must be one of {', '.join(_CHOICES)} or unset, "
            f"but it is {variable!r}."
        )
    return variable == "native"


def in_xla() -> bool:
    """Whether what is traced now is for XLA.

    It asks for no function around the sampler either: XLA (TensorFlow 2.21) compiles the gradient
    of a function within a function anew for new values.
    """
    # TensorFlow offers no public way to ask.
    graph: Any = tf.compat.v1.get_default_graph()
    return bool(control_flow_util.GraphOrParentsInXlaContext(graph))


def _off_cpu(device: str) -> bool:
    kind = tf.DeviceSpec.from_string(device).device_type if device else None
    if kind is not None:
        return str(kind) != "CPU"
    # In a graph without device scopes TensorFlow prefers an accelerator.
    return any(found.device_type != "CPU" for found in tf.config.list_logical_devices())
