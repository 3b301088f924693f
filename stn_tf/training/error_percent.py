"""The figure by which classifiers are compared here."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="stn_tf")
class ErrorPercent(keras.metrics.Mean):
    """How many of a hundred examples were taken for another class; less is better.

    Labels are class indices `[N]` or one-hot (mixed labels count as their largest share) `[N, K]`;
    predictions are logits or probabilities `[N, K]`.
    """

    def __init__(self, name: str = "error_percent", **options: Any):
        super().__init__(name=name, **options)
        self._direction = "down"

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        labels, predicted = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        if len(labels.shape) == len(predicted.shape):
            labels = ops.argmax(labels, axis=-1)
        labels = ops.reshape(ops.cast(labels, "int32"), (-1,))
        wrong = ops.not_equal(ops.cast(ops.argmax(predicted, axis=-1), "int32"), labels)
        # Of every example one: class weights are of the loss, and no error is half an error.
        return super().update_state(100.0 * ops.cast(wrong, "float32"))
