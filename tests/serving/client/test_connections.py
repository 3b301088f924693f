"""Connections: kept, given up in time, and to things that are no model servers."""

import contextlib
import http.server
import select
import socket
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from stn_tf.serving.client import AsyncClient, Client, RequestError
from tests.serving.client.conftest import asker, url


@contextlib.contextmanager
def _relay(port: int) -> Iterator[tuple[int, list[socket.socket]]]:
    """A port that leads to another, and the connections that were made to it."""
    accepted: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def carry(near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", port)) as far:
            other = {near: far, far: near}
            while True:
                for ready in select.select(list(other), [], [])[0]:
                    data = ready.recv(1 << 16)
                    if not data:
                        return
                    other[ready].sendall(data)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted.append(listener.accept()[0])
                threads.append(threading.Thread(target=carry, args=(accepted[-1],)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept)
        accepting.start()
        yield listener.getsockname()[1], accepted
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_one_connection_serves_many_requests(server, protocol, pictures):
    port = server.rest_port if protocol == "rest" else server.port
    scheme = "http" if protocol == "rest" else "grpc"
    with _relay(port) as (near, accepted), Client(f"{scheme}://127.0.0.1:{near}") as client:
        for index in range(5):
            client.predict(pictures, model="small", signature="localize" if index % 2 else None)
            with pytest.raises(RequestError):
                client.status("other")
        assert len(accepted) == 1


def test_one_connection_serves_many_requests_of_coroutines(server, pictures):
    import asyncio

    async def work(port: int) -> None:
        async with AsyncClient(f"http://127.0.0.1:{port}") as client:
            for _ in range(5):
                await client.predict(pictures, model="small")

    with _relay(server.rest_port) as (near, accepted):
        asyncio.run(work(near))
        assert len(accepted) == 1


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_a_server_that_never_answers(silent, scheme, kind):
    ask = asker(f"{scheme}://127.0.0.1:{silent}", kind)
    with pytest.raises(RequestError) as error:
        ask("status", "small", timeout=0.3)
    assert error.value.code == "DEADLINE_EXCEEDED"
    assert "`timeout`" in error.value.cure
    assert ask("live", timeout=0.3) is False
    assert ask("ready", timeout=0.3) is False


def test_a_server_that_answers_byte_by_byte(kind):
    stopped = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            with contextlib.suppress(OSError):
                while not stopped.wait(0.02):
                    self.wfile.write(b" ")

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with pytest.raises(RequestError, match="DEADLINE_EXCEEDED"):
            asker(f"http://127.0.0.1:{server.server_port}", kind)("status", "small", timeout=0.5)
        stopped.set()
        server.shutdown()
        thread.join()


def test_the_wrong_protocol(server, kind):
    with pytest.raises(RequestError) as error:
        asker(f"grpc://127.0.0.1:{server.rest_port}", kind, retries=0)("status", "small")
    assert error.value.code == "UNAVAILABLE"
    with pytest.raises(RequestError) as error:
        asker(f"http://127.0.0.1:{server.port}", kind, retries=0)("status", "small")
    assert error.value.code == "UNAVAILABLE"


def test_a_path_before_the_api(server, kind):
    """Behind a proxy; this server has none, and says which path came."""
    with pytest.raises(RequestError, match="Not Found"):
        asker(f"{url(server, 'rest')}/prefix/", kind)("status", "small")


def test_an_array_is_not_changed_by_a_request(client, pictures):
    kept = pictures.copy()
    answer = client.predict(pictures, model="small")
    answer.outputs["logits"][:] = 0
    np.testing.assert_array_equal(pictures, kept)
