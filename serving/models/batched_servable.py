"""A version of a model whose requests are computed in batches."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from stn_tf.serving.batching import Batch, Batcher
from stn_tf.serving.batching_parameters import BatchingParameters
from stn_tf.serving.models.servable import Servable


class BatchedServable(Servable):
    """A servable whose signatures each have a batcher."""

    def __init__(
        self,
        servable: Servable,
        parameters: BatchingParameters | None = None,
        *,
        observe: Callable[[str, Batch], None] | None = None,
    ) -> None:
        """Puts batchers before a servable, which it owns from now on.

        Args:
            servable: What computes.
            parameters: Those of each batcher.
            observe: Is told the signature and what was computed at once.
        """
        super().__init__(servable.version_dir)
        self.signatures = servable.signatures
        self._servable = servable
        self._batchers = {
            name: Batcher(
                partial(self._run, name),
                parameters,
                observe=partial(observe, name) if observe is not None else None,
            )
            for name in servable.signatures
        }

    def run(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str] | None = None,
        *,
        deadline: float | None = None,
        strict_shapes: bool = False,
    ) -> dict[str, np.ndarray]:
        """Computes outputs together with whoever else waits; see `Servable.run`."""
        # The queue looks at the deadline.
        fitted, names = self._prepare(signature, inputs, outputs, strict_shapes=strict_shapes)
        return self._batchers[signature].submit(fitted, names, deadline).result()

    def _run(
        self, signature: str, inputs: dict[str, np.ndarray], outputs: list[str]
    ) -> dict[str, np.ndarray]:
        return self._servable._run(signature, inputs, outputs)

    def runtime(self, signature: str) -> str:
        return self._servable.runtime(signature)

    def waiting_rows(self) -> dict[str, int]:
        """Returns how many rows wait in the queue of each signature."""
        return {name: batcher.waiting_rows for name, batcher in self._batchers.items()}

    def close(self) -> None:
        """Computes what is in the queues, and frees the model."""
        for batcher in self._batchers.values():
            batcher.close()
        self._servable.close()
