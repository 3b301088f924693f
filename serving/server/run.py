"""The life of the server: models, both protocols, signals."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable

from stn_tf.serving.models.store import ModelStore
from stn_tf.serving.server.config_file import ConfigFile
from stn_tf.serving.server.freed_memory import keep_freed_memory
from stn_tf.serving.server.health import Health
from stn_tf.serving.server.listeners import Listeners
from stn_tf.serving.server.loading import Loader
from stn_tf.serving.server.metrics import Metrics
from stn_tf.serving.server.options import Listening, ServerOptions
from stn_tf.serving.server.request_log import request_log
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
    keep_freed_memory()
    asyncio.run(_serve(options, ready))


async def _serve(options: ServerOptions, ready: Callable[[Listening], None] | None) -> None:
    signals: asyncio.Queue[int] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, signals.put_nowait, number)
    configs, file = list(options.models), None
    if options.model_config_file is not None:
        file = ConfigFile(options.model_config_file)
        configs = file.read()
    metrics = Metrics()
    store = ModelStore(
        Loader(options, metrics),
        enable_model_warmup=options.enable_model_warmup,
        allow_version_labels_for_unavailable_models=(
            options.allow_version_labels_for_unavailable_models
        ),
        observe=metrics.versions.moved,
    )
    metrics.versions.watch(store)
    log = request_log(options, metrics)
    service = ModelService(store, metrics, strict_shapes=options.strict_shapes, log=log)
    health = Health(store)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, store.close)
        stack.push_async_callback(asyncio.to_thread, log.close)
        listeners = Listeners(options, service, health)
        stack.push_async_callback(listeners.close)
        stack.push_async_callback(asyncio.to_thread, health.close)
        await asyncio.to_thread(store.reload, configs)
        where = await listeners.open()
        if options.file_system_poll_wait_seconds > 0:
            store.start_polling(options.file_system_poll_wait_seconds)
        if file is not None and options.model_config_file_poll_wait_seconds > 0:
            file.start_polling(store, options.model_config_file_poll_wait_seconds)
            stack.push_async_callback(asyncio.to_thread, file.close)
        if ready is not None:
            ready(where)
        await signals.get()
        health.drain()
        # Ports stay open for as long as a load balancer needs to hear of it.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(options.drain_delay_seconds):
                await signals.get()
