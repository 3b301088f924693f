"""Clients of the REST API that break the rules; the server answers in JSON, or cuts them off."""

import gzip
import json
import re
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.serving.server.running import running, until

PREDICT = "/v1/models/small:predict"
LIMIT = 20_000


@pytest.fixture(scope="module")
def strict(base_path):
    """A server with little patience and room."""
    with running(
        base_path,
        *("--max_body_bytes", str(LIMIT), "--rest_api_read_timeout_in_ms", "500"),
    ) as server:
        yield server


@pytest.fixture(autouse=True)
def lives(strict):
    yield
    assert strict.call("/v1/models/small")[0] == 200


def _connect(server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.rest_port), timeout=120)


def _read(client: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Reads one answer."""
    with client.makefile("rb") as file:
        status = int(file.readline().split()[1])
        headers = {}
        while line := file.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name.lower()] = value
        return status, headers, file.read(int(headers.get("content-length", 0)))


def _send(server, data: bytes) -> tuple[int, str]:
    """The status and error of the answer to these bytes."""
    with _connect(server) as client:
        client.sendall(data)
        status, headers, body = _read(client)
    assert headers["content-type"].startswith("application/json")
    answer = json.loads(body)
    assert set(answer) == {"error"}
    return status, answer["error"]


def _post(body: bytes, *headers: str, path: str = PREDICT, length: object = None) -> bytes:
    count = len(body) if length is None else length
    lines = [f"POST {path} HTTP/1.1", "Host: here", f"Content-Length: {count}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _is_cut_off(client: socket.socket) -> bool:
    try:
        return client.recv(1000) == b""
    except ConnectionResetError:
        return True


def test_a_body_that_is_announced_too_large_is_refused_unread(strict):
    status, error = _send(strict, _post(b"", length=LIMIT + 1))
    assert status == 413
    assert error.startswith("The body is too large")
    assert str(LIMIT) in error


def test_a_client_that_sends_too_much_hears_why(strict):
    status, answer = strict.call(PREDICT, b"x" * 5_000_000)
    assert status == 413
    assert "too large" in answer["error"]


def test_a_body_that_grows_too_large(strict):
    part = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    assert _send(strict, head + part)[0] == 413


def test_a_body_that_becomes_too_large_is_refused(strict):
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) > LIMIT  # Itself refused; and a smaller one by what it becomes.
    bomb = gzip.compress(b" " * 5_000_000)
    assert len(bomb) < LIMIT
    assert _send(strict, _post(bomb, "Content-Encoding: gzip"))[0] == 413


def test_a_body_of_the_largest_size_is_read(strict):
    body = json.dumps({"instances": [[[[0.0]] * 8] * 9]}).encode()
    with _connect(strict) as client:
        client.sendall(_post(body.ljust(LIMIT)))
        assert _read(client)[0] == 200


@pytest.mark.parametrize(
    "data",
    [
        _post(b"{}", length=-1),
        _post(b"{}", length="two"),
        _post(b"{}", length="9" * 40),
        _post(b"{}", "Content-Length: 3"),
        _post(b"{}", "Transfer-Encoding: chunked"),
        _post(b"zz\r\n{}", "Transfer-Encoding: chunked").replace(b"Content-Length: 6\r\n", b""),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET /v1/models/small HTTP/9.9\r\n\r\n",
        b"GET /v1/models/small HTTP/1.1\r\nNo colon\r\n\r\n",
        b"GET /v1/models/small HTTP/1.1\r\nNul: \x00\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_no_http(strict, data):
    status, error = _send(strict, data)
    assert status == 400
    assert error.startswith(("Malformed request", "The body cannot be read"))


def test_a_body_longer_than_announced_is_no_second_request(strict):
    with _connect(strict) as client:
        client.sendall(_post(b"{}garbage", length=2))
        status, _, body = _read(client)
        assert status == 400
        assert b"Malformed" in body or b"inputs" in body
        while client.recv(10_000):
            pass


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_body_in_another_encoding_than_announced(strict, encoding):
    status, error = _send(strict, _post(b'{"instances": [1]}', f"Content-Encoding: {encoding}"))
    assert status == 400
    assert error.startswith(("The body cannot be read", "Malformed request"))


def test_an_encoding_that_nobody_knows(strict):
    assert _send(strict, _post(b"\x00\x01", "Content-Encoding: nonsense"))[0] == 400


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v1/models/small HTTP/1.1\r\nHost: x\r\nLong: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET /v1/" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/models/small HTTP/1.1\r\n" + b"N: x\r\n" * 10_000 + b"\r\n",
        b"GET /v1/models/small HTTP/1.1\r\n" + b"x" * 100_000,
    ],
)
def test_headers_that_never_end(strict, head):
    with _connect(strict) as client:
        try:
            client.sendall(head)
            status, _, body = _read(client)
        except ConnectionResetError:
            return  # Cut off while it was still sending.
        assert status in (400, 431)
        assert set(json.loads(body)) == {"error"}


def test_a_slow_header_is_cut_off(strict):
    with _connect(strict) as client:
        client.sendall(b"GET /v1/models/small HTTP/1.1\r\nHost: he")
        assert strict.call("/v1/models/small")[0] == 200
        assert _is_cut_off(client)


def test_a_connection_that_says_nothing_is_cut_off(strict):
    with _connect(strict) as client:
        assert _is_cut_off(client)


def test_a_header_that_trickles_is_cut_off(strict):
    over = threading.Event()
    with _connect(strict) as client:

        def trickle() -> None:
            try:
                client.sendall(b"GET /v1/models/small HTTP/1.1\r\n")
                while not over.wait(0.05):
                    client.sendall(b"A")
            except OSError:
                pass  # It has been cut off.

        thread = threading.Thread(target=trickle)
        thread.start()
        assert _is_cut_off(client)
        over.set()
        thread.join()


def test_a_slow_body_is_told_so_while_others_are_served(strict):
    clients = [_connect(strict) for _ in range(40)]
    for client in clients:
        client.sendall(_post(b"{", length=1000))
    assert strict.call("/v1/models/small")[0] == 200
    for client in clients:
        status, headers, body = _read(client)
        assert status == 408
        assert headers["connection"] == "close"
        assert json.loads(body) == {"error": "The body did not come in time."}
        client.close()


def _narrow(server, count: int) -> socket.socket:
    """A client that takes little at a time, and has asked for so many pages."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    client.settimeout(120)
    client.connect(("127.0.0.1", server.rest_port))
    client.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * count)
    return client


def _is_connected(server, client: socket.socket) -> bool:
    """Whether the system still has the server's end of the connection."""
    ports = [f"{port:04X}" for port in (server.rest_port, client.getsockname()[1])]
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(ports == [end.partition(":")[2] for end in line.split()[1:3]] for line in lines)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the system cannot see to it")
def test_a_client_that_does_not_read_is_cut_off(strict):
    # More than the system takes off the server.
    with _narrow(strict, 1000) as client:
        until(lambda: not _is_connected(strict, client))
        with pytest.raises(ConnectionResetError):
            list(iter(lambda: client.recv(1 << 20), b""))


def test_a_client_that_reads_slowly_is_served(strict):
    with _narrow(strict, 1) as client:
        start = time.monotonic()
        head, _, content = client.recv(4096).partition(b"\r\n\r\n")
        length = int(re.search(rb"Content-Length: (\d+)", head)[1])
        assert _is_connected(strict, client)
        while len(content) < length:
            # In all this takes longer than the server has patience for one that does nothing.
            time.sleep(0.2)
            content += client.recv(length // 10)
        assert time.monotonic() - start > 1
        assert head.startswith(b"HTTP/1.1 200 ")
        assert json.loads(content)["openapi"]


def test_a_client_that_leaves_in_the_middle(strict):
    for data in (_post(b"{", length=1000), b"GET /v1/mod", _post(b'{"instances": [1]}')):
        with _connect(strict) as client:
            client.sendall(data)


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "%2e%2e",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "..%2f..%2fetc",
        "..%5c..%5cetc",
        "%252e%252e%252f",
        "small%2f..%2fsmall",
        "small%00",
        "small%0d%0aSet-Cookie:%20x",
        "%ff%fe",
        "%",
        "%zz",
        "x" * 5000,
        "./small",
        "small/../small",
        "//small",
    ],
)
@pytest.mark.parametrize("suffix", ["", "/metadata", "/versions/1", ":predict"])
def test_names_that_are_paths(strict, name, suffix):
    path = f"/v1/models/{name}{suffix}"
    if suffix == ":predict":
        data = _post(b'{"instances": [1]}', path=path)
    else:
        data = f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode()
    status, error = _send(strict, data)
    assert status in (400, 404)
    assert "root:" not in error


@pytest.mark.parametrize("version", ["-1", "1.0", "0x1", "%D9%A1", "9" * 30, "9" * 5000, ""])
def test_versions_that_are_no_numbers(strict, version):
    data = f"GET /v1/models/small/versions/{version} HTTP/1.1\r\nHost: here\r\n\r\n".encode()
    status, error = _send(strict, data)
    assert status == 400
    assert error.startswith("Malformed request: GET ")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_other_methods(strict, method):
    data = f"{method} /v1/models/small HTTP/1.1\r\nHost: here\r\nContent-Length: 0\r\n\r\n".encode()
    status, error = _send(strict, data)
    assert status == 400
    assert error.startswith("Malformed request")


def test_nothing_of_it_is_on_stderr(base_path):
    with running(base_path, "--rest_api_read_timeout_in_ms", "500") as server:
        for data in (
            b"GET /x HTTP/1.1\r\nbroken\r\n\r\n",
            _post(b"{", length=-1),
            _post(b"x", "Content-Encoding: gzip"),
            _post(b"{", length=9),
        ):
            assert _send(server, data)[0] in (400, 408)
        server.process.terminate()
        assert server.process.communicate(timeout=120)[1] == ""
