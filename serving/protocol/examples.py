"""`Input` messages: the examples that Classify, Regress and MultiInference are asked about."""

from typing import Any

import numpy as np

from stn_tf.serving.protocol.status import invalid


def serialized_examples(given: Any) -> np.ndarray:
    """Returns the examples of an `Input` as a model takes them.

    Args:
        given: An `Input`; the features of a context are those of every example that has none of
            that name.

    Returns:
        `[N]` `bytes` objects, each a serialized `tensorflow.Example`.

    Raises:
        Status: INVALID_ARGUMENT, if there are no examples.
    """
    kind = given.WhichOneof("kind")
    examples = getattr(given, kind).examples if kind else ()
    if not examples:
        raise invalid("Input is empty.")
    context = b""
    if kind == "example_list_with_context":
        context = given.example_list_with_context.context.SerializeToString()
    found = np.empty(len(examples), object)
    for row, example in enumerate(examples):
        # Messages one after the other are read as one, in which the last of a name wins.
        found[row] = context + example.SerializeToString()
    return found
