"""Unix sockets of both protocols: beside the ports, cleaned up, and never taken from others."""

import http.client
import json
import signal
import socket
import stat

import grpc

from tests.serving.server.conftest import start
from tests.serving.server.running import refused, running


def _over_socket(path, method: str = "GET", url: str = "/readyz") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("localhost", timeout=60)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    connection.request(method, url)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def _grpc_health(path) -> bytes:
    with grpc.insecure_channel(f"unix:{path}") as channel:
        return channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=60)


def test_both_protocols_beside_their_ports(base_path, tmp_path):
    rest, rpc = tmp_path / "rest.sock", tmp_path / "grpc.sock"
    with running(base_path, "--rest_api_socket_path", rest, "--grpc_socket_path", rpc) as server:
        assert _over_socket(rest) == (200, b"ok\n")
        status, body = _over_socket(rest, url="/v1/models/small")
        assert status == 200
        assert json.loads(body) == server.call("/v1/models/small")[1]
        assert _grpc_health(rpc) == b"\x08\x01"
        assert stat.S_ISSOCK(rest.stat().st_mode)
        assert stat.S_ISSOCK(rpc.stat().st_mode)
    assert not rest.exists()
    assert not rpc.exists()


def test_what_a_killed_server_left_is_replaced(base_path, tmp_path):
    rest, rpc = tmp_path / "rest.sock", tmp_path / "grpc.sock"
    options = ("--rest_api_socket_path", rest, "--grpc_socket_path", rpc)
    killed = start(base_path, *options)
    assert killed.stop(signal.SIGKILL) == -signal.SIGKILL
    assert rest.exists()
    assert rpc.exists()
    with running(base_path, *options):
        assert _over_socket(rest) == (200, b"ok\n")
        assert _grpc_health(rpc) == b"\x08\x01"


def test_the_socket_of_a_living_server_is_refused(base_path, tmp_path):
    rest, rpc = tmp_path / "rest.sock", tmp_path / "grpc.sock"
    with running(base_path, "--rest_api_socket_path", rest, "--grpc_socket_path", rpc):
        for option, path in (("--rest_api_socket_path", rest), ("--grpc_socket_path", rpc)):
            line = refused(base_path, option, path)
            assert line == f"Error: `{path}` cannot be listened on: another process does."
        assert _over_socket(rest) == (200, b"ok\n")
        assert _grpc_health(rpc) == b"\x08\x01"


def test_what_is_no_socket_is_left_alone(base_path, tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    line = refused(base_path, "--rest_api_socket_path", path)
    assert line == f"Error: `{path}` cannot be listened on: it is there, and no socket."
    assert path.read_text() == "data"
    line = refused(base_path, "--grpc_socket_path", tmp_path / "none" / "socket")
    assert f"`{tmp_path / 'none'}` is no folder." in line
    line = refused(base_path, "--rest_api_socket_path", tmp_path / ("x" * 120))
    assert "cannot be listened on" in line
