"""What less precision than float32 costs: classes counted, on real images."""

from collections.abc import Iterator, Mapping

import numpy as np
import onnx

from stn_tf.errors import ExportError
from stn_tf.export.proof.expectations import Feeds
from stn_tf.export.proof.runtimes.onnx_runtime import onnx_runtime
from stn_tf.export.publish.manifest import Accuracy
from stn_tf.export.source.network import Network

# Networks keep some hundred numbers for each of an input: this is a few GB.
_MOST_NUMBERS = 2**22
_MOST_EXAMPLES = 256


def measure(
    file: onnx.ModelProto, network: Network, feeds: Feeds, labels: np.ndarray | None
) -> Accuracy | None:
    """Classifies all images with a file and with the live model.

    Args:
        file: An ONNX file of the network.
        network: The live model.
        feeds: What is classified.
        labels: The true classes; None compares with those of the live model.

    Returns:
        None for a model without classes, or of one batch size.
    """
    chosen = network.interface.named("class")
    if (
        not chosen
        or network.head.source is None
        or any(spec.shape[:1] != (None,) for spec in network.interface.inputs)
    ):
        return None
    run = onnx_runtime(file.SerializeToString())
    found, expected, largest = [], [], 0.0
    for batch in _batches(feeds):
        ours, theirs = run(batch), network.truth(batch)
        source = network.head.source
        largest = max(largest, float(np.max(np.abs(ours[source] - theirs[source]))))
        found.append(ours[chosen[0]])
        expected.append(theirs[chosen[0]])
    classes, wanted = np.concatenate(found), np.concatenate(expected)
    truth = wanted if labels is None else labels
    return Accuracy(
        images=len(classes),
        error_percent=100.0 * float(np.mean(classes != truth)),
        float32_error_percent=100.0 * float(np.mean(wanted != truth)),
        largest_difference=largest,
        labelled=labels is not None,
    )


def require_accuracy(accuracy: Accuracy, precision: str, max_drop: float) -> None:
    """Raises ExportError if a file is worse than the live model by more than `max_drop` points."""
    drop = accuracy.error_percent - accuracy.float32_error_percent
    if not drop <= max_drop:
        raise ExportError(
            f"`precision` {precision} loses {drop:.2f} points of accuracy on {accuracy.images} "
            f"images ({accuracy.float32_error_percent:.2f} % -> {accuracy.error_percent:.2f} % "
            f"error), and at most {max_drop:g} are allowed. Nothing was written; take float32, or "
            "raise --max-accuracy-drop."
        )


def _batches(feeds: Mapping[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    count = len(next(iter(feeds.values())))
    numbers = max(1, sum(values.size for values in feeds.values()) // max(1, count))
    size = max(1, min(_MOST_EXAMPLES, _MOST_NUMBERS // numbers))
    for start in range(0, count, size):
        yield {name: values[start : start + size] for name, values in feeds.items()}
