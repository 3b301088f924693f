"""Shows what the transformers inside a model do, without changing the model."""

import contextlib
import contextvars
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import tensorflow as tf
from tensorflow.python.ops.control_flow_v2_func_graphs import (
    CondBranchFuncGraph,
    WhileBodyFuncGraph,
    WhileCondFuncGraph,
)

if TYPE_CHECKING:
    from stn_tf.layers.spatial_transformer import SpatialTransformer


@dataclasses.dataclass(frozen=True, eq=False)
class Transformation:
    """One call of a spatial transformer. Channels are last, whatever the layer's `data_format`.

    With `layer.crops` K, theta, grid and crops are `[N, K, ...]`.

    Attributes:
        layer: The transformer that was called.
        images: Its input, `[N, H, W, C]`.
        theta: `[N, *theta]`, float32.
        grid: `[N, h, w, 2]`, (x, y) in [-1, 1], float32.
        crops: Its output, `[N, h, w, C]`.
    """

    layer: "SpatialTransformer"
    images: tf.Tensor
    theta: tf.Tensor
    grid: tf.Tensor
    crops: tf.Tensor


class _Records(list[Transformation]):
    """What was recorded, and of which layers nothing is."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: set[int] = set()

    def hide(self, layer: "SpatialTransformer") -> None:
        self.hidden.add(id(layer))
        self[:] = [record for record in self if record.layer is not layer]


# Who records, and in which graph: tensors of another graph, such as the one in which Keras
# traces an unbuilt model for its shapes, would be of no use to them.
_Recorder = tuple[tf.Graph | None, _Records]
_recorders: contextvars.ContextVar[tuple[_Recorder, ...]] = contextvars.ContextVar(
    "stn_tf_recorders", default=()
)


def _graph() -> tf.Graph | None:
    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()


@contextlib.contextmanager
def record_transformations() -> Iterator[list[Transformation]]:
    """Collects the transformations of the models that are called inside the block, in order.

        with record_transformations() as records:
            logits = model(images)
        theta = records[0].theta

    In a `tf.function`, open the block, call the model and use the records inside the function.
    There, transformers that are called in a loop or a branch are left out, wherever else they are
    called: what they do is known inside it alone. Without a graph, each call is recorded.
    """
    records = _Records()
    token = _recorders.set((*_recorders.get(), (_graph(), records)))
    try:
        yield records
    finally:
        _recorders.reset(token)


def is_recording() -> bool:
    """Whether anybody records what is called here."""
    here = _graph()
    return any(graph is here or _within(here, graph) for graph, _ in _recorders.get())


def note(transformation: Transformation) -> None:
    """Hands a transformation to whoever records."""
    here = _graph()
    for graph, records in _recorders.get():
        if graph is here:
            if id(transformation.layer) not in records.hidden:
                records.append(transformation)
        elif _within(here, graph):
            records.hide(transformation.layer)


def _within(here: tf.Graph | None, graph: tf.Graph | None) -> bool:
    """Whether one graph is that of a loop or a branch of another."""
    while isinstance(here, WhileCondFuncGraph | WhileBodyFuncGraph | CondBranchFuncGraph):
        here = here.outer_graph
        if here is graph:
            return True
    return False
