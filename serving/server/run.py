"""The life of the server: models, both protocols, signals."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from stn_tf.serving.batching_parameters import BatchingParameters, read_batching_parameters
from stn_tf.serving.models.batched_servable import BatchedServable
from stn_tf.serving.models.model_config import read_model_config
from stn_tf.serving.models.servable import Servable, load_servable
from stn_tf.serving.models.store import ModelStore
from stn_tf.serving.server.grpc_server import make_grpc_server
from stn_tf.serving.server.metrics import Metrics
from stn_tf.serving.server.options import Listening, ServerOptions
from stn_tf.serving.server.rest_server import RestServer
from stn_tf.serving.server.service import ModelService


def serve(options: ServerOptions, *, ready: Callable[[Listening], None] | None = None) -> None:
    """Serves until SIGTERM or SIGINT, then lets the requests in flight finish.

    Args:
        options: What is served, and where.
        ready: Called once every model is available and both protocols listen.

    Raises:
        ConfigError: If a configuration file cannot be read.
        Status: If a model has no version that loads.
        OSError: If an address cannot be listened on.
    """
    asyncio.run(_serve(options, ready))


async def _serve(options: ServerOptions, ready: Callable[[Listening], None] | None) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
    configs = list(options.models)
    if options.model_config_file is not None:
        configs = read_model_config(options.model_config_file)
    batching = _batching(options)

    def load(path: Path) -> Servable:
        servable = load_servable(path, options.engine, options.threads)
        return servable if batching is None else BatchedServable(servable, batching)

    store = ModelStore(
        load,
        enable_model_warmup=options.enable_model_warmup,
        allow_version_labels_for_unavailable_models=(
            options.allow_version_labels_for_unavailable_models
        ),
    )
    service = ModelService(store, Metrics())
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, store.close)
        await asyncio.to_thread(store.reload, configs)
        addresses = [f"{options.host}:{options.port}"]
        if options.grpc_socket_path is not None:
            addresses.append(f"unix:{options.grpc_socket_path}")
        grpc_server, ports = make_grpc_server(service, addresses, threads=options.grpc_max_threads)
        grpc_server.start()

        async def stop_grpc() -> None:
            stopping = grpc_server.stop(options.drain_seconds)
            await asyncio.to_thread(stopping.wait)

        stack.push_async_callback(stop_grpc)
        rest_port = None
        if options.rest_api_port is not None:
            rest = RestServer(service, timeout=options.rest_api_timeout_in_ms / 1000)
            _, rest_port = await rest.listen(options.host, options.rest_api_port)
            stack.push_async_callback(rest.close, options.drain_seconds)
        if options.file_system_poll_wait_seconds > 0:
            store.start_polling(options.file_system_poll_wait_seconds)
        if ready is not None:
            ready(Listening(ports[0], rest_port))
        await stopped.wait()
        if options.rest_api_port is not None:
            rest.draining = True


def _batching(options: ServerOptions) -> BatchingParameters | None:
    if not options.enable_batching:
        return None
    if options.batching_parameters_file is None:
        return BatchingParameters()
    return read_batching_parameters(options.batching_parameters_file)
