"""A real server, and both clients over both protocols."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stn_tf.serving.client import AsyncClient, Client
from tests.serving.server.conftest import Server, base_path, pictures, served_model
from tests.serving.server.running import running

__all__ = ["base_path", "pictures", "served_model"]

Ask = Callable[..., Any]


@pytest.fixture(scope="session")
def server(base_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("config")
    config = folder / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "small" base_path: "{base_path}" '
        "model_version_policy { all {} } "
        'version_labels { key: "canary" value: 2 } } }'
    )
    socket = folder / "socket"
    with running("--model_config_file", config, "--grpc_socket_path", socket) as found:
        found.socket = socket
        yield found


def url(server: Server, protocol: str) -> str:
    return {
        "grpc": f"grpc://127.0.0.1:{server.port}",
        "unix": f"unix:{getattr(server, 'socket', '')}",
        "rest": f"http://127.0.0.1:{server.rest_port}",
    }[protocol]


def asker(target: str, kind: str, **options: Any) -> Ask:
    """Returns a function that calls a method of a new client, of either kind."""

    def ask(method: str, *arguments: Any, **named: Any) -> Any:
        if kind == "threads":
            with Client(target, **options) as client:
                return getattr(client, method)(*arguments, **named)

        async def asked() -> Any:
            async with AsyncClient(target, **options) as client:
                return await getattr(client, method)(*arguments, **named)

        return asyncio.run(asked())

    return ask


@pytest.fixture(params=["grpc", "unix", "rest"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["threads", "coroutines"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ask(server: Server, protocol: str, kind: str) -> Ask:
    return asker(url(server, protocol), kind)


@pytest.fixture
def client(server: Server, protocol: str) -> Iterator[Client]:
    with Client(url(server, protocol)) as client:
        yield client
