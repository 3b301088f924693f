"""Options of `stn-tf serve`: where clients reach the server, and what they may do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_PATH = click.Path(path_type=Path)
_SECONDS = click.FloatRange(min=0)

_OPTIONS = [
    click.option("--port", default=8500, show_default=True, help="Port of gRPC; 0 for a free one."),
    click.option(
        "--rest_api_port", default=8501, show_default=True, help="Port of REST; 0 for a free one."
    ),
    click.option("--host", default="0.0.0.0", show_default=True, help="Address to listen on."),
    click.option("--grpc_socket_path", type=_PATH, help="Unix socket for gRPC as well."),
    click.option("--rest_api_socket_path", type=_PATH, help="Unix socket for REST as well."),
    click.option(
        "--ssl_config_file", type=_PATH, help="TLS for gRPC and REST, as SSLConfig in text."
    ),
    click.option(
        "--api_keys_file",
        type=_PATH,
        help="One key a line. Requests must carry `authorization: Bearer KEY` or `x-api-key: KEY`.",
    ),
    click.option(
        "--cors_allow_origin",
        multiple=True,
        metavar="ORIGIN",
        help="Whose pages may use REST: https://example.org, or * for all. May be repeated.",
    ),
    click.option(
        "--monitoring_config_file", type=_PATH, help="Path of metrics, as MonitoringConfig in text."
    ),
    click.option(
        "--max_body_bytes",
        default=256 * 2**20,
        show_default=True,
        type=click.IntRange(min=1),
        help="What the body of a REST request may have.",
    ),
    click.option("--rest_api_timeout_in_ms", default=30_000, show_default=True),
    click.option(
        "--rest_api_read_timeout_in_ms",
        default=60_000,
        show_default=True,
        type=click.IntRange(min=1),
        help="What a REST client may take to send a request, or read nothing of an answer; idle "
        "connections are closed after it.",
    ),
    click.option("--grpc_max_threads", default=16, show_default=True),
    click.option(
        "--grpc_channel_arguments",
        default="",
        metavar="KEY=VALUE,...",
        help="gRPC's own settings, such as grpc.max_connection_age_ms=2000.",
    ),
    click.option(
        "--drain_delay_seconds",
        default=0.0,
        show_default=True,
        type=_SECONDS,
        help="How long health says NOT_SERVING after SIGTERM before the ports close.",
    ),
    click.option(
        "--drain_seconds",
        default=30.0,
        show_default=True,
        type=_SECONDS,
        help="What requests in flight may take after that.",
    ),
]


def listen_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options to a command; they have the names of `ServerOptions`' fields."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
