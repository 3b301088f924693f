"""A version of a model whose requests are computed in batches."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial

import numpy as np

from stn_tf.serving.batching import Batch, Batcher
from stn_tf.serving.batching_parameters import BatchingParameters
from stn_tf.serving.models.servable import Servable
from stn_tf.serving.protocol.status import Status


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
                partial(servable.run, name),
                parameters,
                observe=partial(observe, name) if observe is not None else None,
            )
            for name in servable.signatures
        }

    def submit(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str] | None = None,
        deadline: float | None = None,
    ) -> "Future[dict[str, np.ndarray]]":
        """Puts a request into the queue of a signature; see `Batcher.submit`."""
        batcher = self._batchers.get(signature)
        if batcher is None:
            found: Future[dict[str, np.ndarray]] = Future()
            text = f'Serving signature key "{signature}" not found.'
            found.set_exception(Status("FAILED_PRECONDITION", text))
            return found
        names = list(self.signatures[signature].outputs) if outputs is None else outputs
        return batcher.submit(inputs, names, deadline)

    def _run(
        self, signature: str, inputs: dict[str, np.ndarray], outputs: list[str]
    ) -> dict[str, np.ndarray]:
        return self.submit(signature, inputs, outputs).result()

    def close(self) -> None:
        """Computes what is in the queues, and frees the model."""
        for batcher in self._batchers.values():
            batcher.close()
        self._servable.close()
