"""The life of the server: models, both protocols, signals."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stn_tf.serving.batching_parameters import BatchingParameters, read_batching_parameters
from stn_tf.serving.models.batched_servable import BatchedServable
from stn_tf.serving.models.model_config import ModelConfig, read_model_config
from stn_tf.serving.models.servable import Servable, load_servable
from stn_tf.serving.models.store import ModelStore
from stn_tf.serving.server.grpc_server import make_grpc_server
from stn_tf.serving.server.metrics import Metrics
from stn_tf.serving.server.rest_server import RestServer
from stn_tf.serving.server.service import ModelService


@dataclass(frozen=True)
class ServerOptions:
    """What the server does; the names are those of `tensorflow_model_server`'s flags.

    Attributes:
        models: What is served; `model_config_file` takes its place.
        port: Of gRPC, on `host`; 0 takes a free one.
        rest_api_port: Of REST; 0 takes a free one, None serves no REST.
        grpc_socket_path: A Unix socket for gRPC, beside the port.
        drain_seconds: How long requests in flight may take after SIGTERM.
    """

    models: Sequence[ModelConfig] = ()
    model_config_file: Path | None = None
    host: str = "0.0.0.0"
    port: int = 8500
    rest_api_port: int | None = 8501
    grpc_socket_path: Path | None = None
    file_system_poll_wait_seconds: float = 1.0
    enable_model_warmup: bool = True
    allow_version_labels_for_unavailable_models: bool = False
    enable_batching: bool = False
    batching_parameters_file: Path | None = None
    rest_api_timeout_in_ms: int = 30_000
    grpc_max_threads: int = 16
    engine: str = "auto"
    threads: int | None = None
    drain_seconds: float = 30.0


@dataclass(frozen=True)
class Listening:
    """Where the server listens: ports of gRPC and REST."""

    port: int
    rest_api_port: int | None


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
