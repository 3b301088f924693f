"""Where clients reach the server: ports and Unix sockets of both protocols."""

import asyncio
import contextlib

import grpc

from stn_tf.serving.server.api_keys import read_api_keys
from stn_tf.serving.server.channel_arguments import channel_arguments
from stn_tf.serving.server.grpc_server import make_grpc_server
from stn_tf.serving.server.health import Health
from stn_tf.serving.server.monitoring import METRICS_PATH, read_metrics_path
from stn_tf.serving.server.options import Listening, ServerOptions
from stn_tf.serving.server.rest_server import RestServer
from stn_tf.serving.server.service import ModelService
from stn_tf.serving.server.tls import read_tls
from stn_tf.serving.server.unix_socket import unix_socket


class Listeners:
    """gRPC and REST as the options want them; made in the event loop, before models load.

    Raises:
        ConfigError: If an option, or a file that it names, cannot be.
    """

    def __init__(self, options: ServerOptions, service: ModelService, health: Health) -> None:
        self._options = options
        self._service = service
        self._health = health
        file = options.ssl_config_file
        self._tls = None if file is None else read_tls(file)
        file = options.api_keys_file
        self._keys = None if file is None else read_api_keys(file)
        self._arguments = channel_arguments(options.grpc_channel_arguments)
        file = options.monitoring_config_file
        self._rest = RestServer(
            service,
            health,
            batching=options.enable_batching,
            timeout=options.rest_api_timeout_in_ms / 1000,
            read_timeout=options.rest_api_read_timeout_in_ms / 1000,
            max_body=options.max_body_bytes,
            metrics_path=METRICS_PATH if file is None else read_metrics_path(file),
            tls=None if self._tls is None else self._tls.ssl_context(),
            keys=self._keys,
            origins=options.cors_allow_origin,
        )
        self._grpc: grpc.Server | None = None
        self._sockets = contextlib.ExitStack()

    async def open(self) -> Listening:
        """Starts to listen.

        Raises:
            OSError: If an address cannot be listened on.
        """
        options = self._options
        for path in (options.grpc_socket_path, options.rest_api_socket_path):
            if path is not None:
                self._sockets.enter_context(unix_socket(path))
        addresses = [f"{options.host}:{options.port}"]
        if options.grpc_socket_path is not None:
            addresses.append(f"unix:{options.grpc_socket_path}")
        self._grpc, ports = make_grpc_server(
            self._service,
            self._health,
            addresses,
            threads=options.grpc_max_threads,
            tls=self._tls,
            keys=self._keys,
            arguments=self._arguments,
        )
        self._grpc.start()
        rest_port = None
        if options.rest_api_port is not None:
            rest_port = await self._rest.listen(options.host, options.rest_api_port)
        if options.rest_api_socket_path is not None:
            await self._rest.listen_unix(options.rest_api_socket_path)
        return Listening(ports[0], rest_port)

    async def close(self) -> None:
        """Takes no more requests, and waits for those in flight."""
        seconds = self._options.drain_seconds
        stopping = self._rest.close(seconds)
        if self._grpc is None:
            await stopping
        else:
            stopped = self._grpc.stop(seconds)
            await asyncio.gather(stopping, asyncio.to_thread(stopped.wait))
        self._sockets.close()
