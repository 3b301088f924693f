"""What a server is asked to do, and what it says when it does."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stn_tf.serving.models.model_config import ModelConfig


@dataclass(frozen=True)
class ServerOptions:
    """What the server does; the names are those of `tensorflow_model_server`'s flags.

    Attributes:
        models: What is served; `model_config_file` takes its place.
        model_config_file_poll_wait_seconds: Between looks at that file; 0 for one at the start.
        port: Of gRPC, on `host`; 0 takes a free one.
        rest_api_port: Of REST; 0 takes a free one, None serves no REST.
        grpc_socket_path: A Unix socket for gRPC, beside the port.
        rest_api_socket_path: A Unix socket for REST, beside the port.
        grpc_channel_arguments: `KEY=VALUE`, separated by commas.
        ssl_config_file: `SSLConfig` in text; ports and sockets then speak TLS.
        api_keys_file: One key a line; requests must then carry one.
        cors_allow_origin: Origins whose pages may use REST; `*` for all.
        max_body_bytes: What a request's body may have over REST, decompressed.
        rest_api_read_timeout_in_ms: How long a REST client may take to send a request, how long
            it may read nothing of an answer, and how long a connection may wait for the next.
        monitoring_config_file: `MonitoringConfig` in text; without it metrics are at the usual
            path.
        strict_shapes: Whether inputs must have the shapes of their signature.
        request_log: Folder of the log of requests, one file a model; None logs nothing but what
            `logging_config` of a model asks for.
        request_log_sampling: The share of requests that are logged, 0..1.
        request_log_file_bytes: Size at which a file is followed by the next.
        request_log_files: How many files of a model are kept.
        drain_delay_seconds: How long health says NOT_SERVING after SIGTERM before the ports close;
            a second SIGTERM closes them at once.
        drain_seconds: How long requests in flight may take after that.
    """

    models: Sequence[ModelConfig] = ()
    model_config_file: Path | None = None
    model_config_file_poll_wait_seconds: float = 0.0
    host: str = "0.0.0.0"
    port: int = 8500
    rest_api_port: int | None = 8501
    grpc_socket_path: Path | None = None
    rest_api_socket_path: Path | None = None
    grpc_channel_arguments: str = ""
    ssl_config_file: Path | None = None
    api_keys_file: Path | None = None
    cors_allow_origin: Sequence[str] = ()
    max_body_bytes: int = 256 * 2**20
    rest_api_read_timeout_in_ms: int = 60_000
    monitoring_config_file: Path | None = None
    file_system_poll_wait_seconds: float = 1.0
    enable_model_warmup: bool = True
    allow_version_labels_for_unavailable_models: bool = False
    enable_batching: bool = False
    batching_parameters_file: Path | None = None
    strict_shapes: bool = False
    rest_api_timeout_in_ms: int = 30_000
    grpc_max_threads: int = 16
    engine: str = "auto"
    threads: int | None = None
    request_log: Path | None = None
    request_log_sampling: float = 1.0
    request_log_file_bytes: int = 64 * 2**20
    request_log_files: int = 16
    drain_delay_seconds: float = 0.0
    drain_seconds: float = 30.0


@dataclass(frozen=True)
class Listening:
    """Where the server listens: ports of gRPC and REST."""

    port: int
    rest_api_port: int | None
