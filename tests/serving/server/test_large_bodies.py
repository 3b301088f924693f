"""Large bodies, which are received otherwise than small ones, on sockets and by any client."""

import contextlib
import gzip
import http.client
import io
import json
import socket
import ssl
import threading

import numpy as np
import pytest
import trustme

from tests.pairs import every_pair
from tests.serving.server.running import running

PREDICT = "/v1/models/small:predict"
NPY = "application/x-npy"
# So many are 4.6 MB: more than any buffer on the way holds.
ROWS = 16_000


@pytest.fixture(scope="module")
def server(base_path):
    with running(base_path) as server:
        yield server


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(7).random((ROWS, 9, 8, 1), np.float32)


@pytest.fixture(scope="module")
def logits(server, images) -> np.ndarray:
    """What small bodies are answered."""
    rows: list[list[float]] = []
    for part in np.split(images, 100):
        assert len(npy(part)) < 64 << 10
        status, answer = server.call(PREDICT, npy(part), NPY)
        assert status == 200, answer
        rows += [row["logits"] for row in answer["predictions"]]
    return np.array(rows)


@pytest.fixture(scope="module")
def impatient(base_path):
    with running(base_path, "--rest_api_read_timeout_in_ms", "500") as server:
        yield server


def npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def post(body: bytes, *headers: str, length: int | None = None) -> bytes:
    count = len(body) if length is None else length
    lines = [f"POST {PREDICT} HTTP/1.1", "Host: x", f"Content-Type: {NPY}", *headers]
    return "\r\n".join([*lines, f"Content-Length: {count}", "", ""]).encode() + body


def connect(server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.rest_port), timeout=120)


def answered(client: socket.socket) -> tuple[int, dict, bool]:
    """Status and JSON of one answer, and whether the connection is kept; reads no byte more."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = client.recv(1)
        assert byte, head
        head += byte
    first, *lines = head.decode().strip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    content = b""
    while len(content) < int(headers["content-length"]):
        content += client.recv(int(headers["content-length"]) - len(content))
    return int(first.split()[1]), json.loads(content), headers.get("connection") != "close"


def check(client: socket.socket, logits: np.ndarray) -> None:
    status, answer, kept = answered(client)
    assert status == 200, answer
    assert kept
    found = np.array([row["logits"] for row in answer["predictions"]])
    assert found.shape == logits.shape
    np.testing.assert_allclose(found, logits, atol=1e-5)


def is_cut_off(client: socket.socket) -> bool:
    try:
        return client.recv(1000) == b""
    except ConnectionResetError:
        return True


def test_one_after_the_other_on_a_connection(server, images, logits):
    with connect(server) as client:
        for start in (0, 5, ROWS // 2):
            client.sendall(post(npy(images[start:])))
            check(client, logits[start:])


@pytest.mark.parametrize("first", [0, 1, 100, 70_000, 1_000_000])
def test_pieces_of_any_size(server, images, logits, first):
    data = post(npy(images))
    cuts = [data.index(b"\r\n\r\n") + 4 + first, len(data) - 300_000, len(data) - 1]
    with connect(server) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True):
            client.sendall(data[start:stop])
            # The server has time to see the piece.
            assert server.call("/livez")[0] == 200
        check(client, logits)


def test_requests_that_do_not_wait_for_the_answer_before(server, images, logits):
    large, get = post(npy(images)), b"GET /v1/models/small HTTP/1.1\r\nHost: x\r\n\r\n"
    some = post(npy(images[:300]))
    with connect(server) as client:
        thread = threading.Thread(target=client.sendall, args=(large + get + some + large + get,))
        thread.start()
        check(client, logits)
        assert answered(client)[0] == 200
        check(client, logits[:300])
        check(client, logits)
        assert answered(client)[0] == 200
        thread.join()


def test_what_follows_a_body_is_the_next_request(server, images, logits):
    with connect(server) as client:
        client.sendall(post(npy(images)) + b"garbage\r\n\r\n")
        check(client, logits)
        status, answer, _ = answered(client)
        assert status == 400
        assert answer["error"].startswith("Malformed request")
        assert is_cut_off(client)


def test_a_client_that_waits_to_be_told_to_go_on(server, images, logits):
    head, _, body = post(npy(images), "Expect: 100-continue").partition(b"\r\n\r\n")
    with connect(server) as client:
        client.sendall(head + b"\r\n\r\n")
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        check(client, logits)


def test_a_packed_body(server, images, logits):
    packed = gzip.compress(npy(images), 1)
    assert len(packed) > 1 << 20
    with connect(server) as client:
        client.sendall(post(packed, "Content-Encoding: gzip"))
        check(client, logits)


def test_a_body_whose_length_is_not_announced(server, images, logits):
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port)
    with contextlib.closing(connection):
        data = npy(images)
        parts = (data[start : start + 100_000] for start in range(0, len(data), 100_000))
        connection.request("POST", PREDICT, parts, {"Content-Type": NPY}, encode_chunked=True)
        found = json.loads(connection.getresponse().read())
    np.testing.assert_allclose([r["logits"] for r in found["predictions"]], logits, atol=1e-5)


def test_json(server, images, logits):
    status, answer = server.call(PREDICT, {"instances": images[:500].tolist()})
    assert status == 200
    np.testing.assert_allclose(
        [row["logits"] for row in answer["predictions"]], logits[:500], atol=1e-5
    )


def test_many_at_once(server, images, logits):
    def ask(start: int) -> None:
        try:
            with connect(server) as client:
                for _ in range(5):
                    client.sendall(post(npy(images[start:])))
                    check(client, logits[start:])
            done.append(start)
        except BaseException as error:
            done.append(error)

    done: list[object] = []
    threads = [threading.Thread(target=ask, args=(start,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, done)) == sorted(map(str, range(8)))


def test_over_tls(base_path, images, logits, tmp_path):
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    text = {
        "server_key": certificate.private_key_pem.bytes(),
        "server_cert": certificate.cert_chain_pems[0].bytes(),
    }
    config = tmp_path / "ssl.config"
    config.write_text("".join(f"{k}: {json.dumps(v.decode())}\n" for k, v in text.items()))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with (
        running(base_path, "--ssl_config_file", config) as secure,
        context.wrap_socket(connect(secure), server_hostname="127.0.0.1") as client,
    ):
        large, some = post(npy(images)), post(npy(images[:300]))
        for _ in range(2):
            client.sendall(large)
            check(client, logits)
            client.sendall(some + some)
            check(client, logits[:300])
            check(client, logits[:300])


def test_over_a_unix_socket(base_path, images, logits, tmp_path):
    path = tmp_path / "rest.sock"
    with (
        running(base_path, "--rest_api_socket_path", path),
        socket.socket(socket.AF_UNIX) as client,
    ):
        client.connect(str(path))
        for start in (0, 7):
            client.sendall(post(npy(images[start:])))
            check(client, logits[start:])


@pytest.mark.parametrize("sent", [0, 1000, 3_000_000])
def test_a_body_that_does_not_come_in_time(impatient, images, sent):
    with connect(impatient) as client:
        data = post(npy(images))
        client.sendall(data[: len(data) - len(npy(images)) + sent])
        status, answer, kept = answered(client)
        assert status == 408
        assert answer == {"error": "The body did not come in time."}
        assert not kept
        # The rest still comes, and is no request.
        with contextlib.suppress(ConnectionError):
            client.sendall(data[len(data) - len(npy(images)) + sent :])
        assert is_cut_off(client)
    assert impatient.call("/livez")[0] == 200


@every_pair(together=1, how=["close", "half", "reset"], sent=[0, 1000, 3_000_000])
def test_a_client_that_leaves_in_the_middle(base_path, images, sent, how):
    with running(base_path) as server:
        with connect(server) as client:
            client.sendall(post(npy(images)[:sent], length=len(npy(images))))
            assert server.call("/livez")[0] == 200
            if how == "half":
                client.shutdown(socket.SHUT_WR)
                assert is_cut_off(client)
            elif how == "reset":
                linger = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        assert server.call("/livez")[0] == 200
        server.process.terminate()
        assert server.process.communicate(timeout=120)[1] == ""


def test_a_body_in_flight_is_answered_though_the_server_is_told_to_stop(base_path, images, logits):
    with running(base_path) as server, connect(server) as client:
        data = post(npy(images))
        client.sendall(data[:2_000_000])
        assert server.call("/livez")[0] == 200
        server.process.terminate()
        client.sendall(data[2_000_000:])
        status, answer, kept = answered(client)
        assert status == 200
        assert not kept
        found = [row["logits"] for row in answer["predictions"]]
        np.testing.assert_allclose(found, logits, atol=1e-5)
        assert server.process.wait(120) == 0


def test_an_announcement_alone_takes_no_memory(server):
    def resident() -> int:
        with open(f"/proc/{server.process.pid}/statm") as file:
            return int(file.read().split()[1]) * 4096

    before = resident()
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(connect(server))
            client.sendall(post(b"\x93NUMPY", length=200 << 20))
        assert server.call("/livez")[0] == 200
        assert resident() - before < 100 << 20
