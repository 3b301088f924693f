"""How the server loads versions: with which runtime, and with queues or without."""

from functools import partial

from stn_tf.serving.batching_parameters import BatchingParameters, read_batching_parameters
from stn_tf.serving.models.batched_servable import BatchedServable
from stn_tf.serving.models.servable import Servable, load_servable
from stn_tf.serving.models.store import FoundVersion
from stn_tf.serving.server.metrics import Metrics
from stn_tf.serving.server.options import ServerOptions


class Loader:
    """Loads versions as the options want them, and has their batches counted.

    Raises:
        ConfigError: If the file of batching parameters cannot be read or is damaged.
    """

    def __init__(self, options: ServerOptions, metrics: Metrics) -> None:
        self._engine = options.engine
        self._threads = options.threads
        self._metrics = metrics
        self._batching: BatchingParameters | None = None
        if options.enable_batching:
            self._batching = BatchingParameters()
            if options.batching_parameters_file is not None:
                self._batching = read_batching_parameters(options.batching_parameters_file)

    def __call__(self, found: FoundVersion) -> Servable:
        """Loads a version.

        Raises:
            ModelError: If there is no model, or it is damaged.
        """
        servable = load_servable(found.path, self._engine, self._threads)
        if self._batching is None:
            return servable
        observe = partial(self._metrics.versions.batched, found.name, found.version)
        batched = BatchedServable(servable, self._batching, observe=observe)
        self._metrics.versions.watch_queues(found.name, found.version, batched.waiting_rows)
        return batched
