"""gRPC's health service: `Check`, streams of `Watch`, and what both say while the server ends."""

import json
import signal
import socket

import grpc
import numpy as np
import pytest

from stn_tf.serving.protocol.messages import (
    HealthCheckRequest,
    HealthCheckResponse,
    ServingStatus,
)
from tests.serving.server.conftest import SIZE
from tests.serving.server.running import running, until

CONFIG = 'model_config_list {{ config {{ name: "{name}" base_path: "{path}" }} }}'


def _watch(server, service: str = ""):
    call = server.channel.unary_stream(
        "/grpc.health.v1.Health/Watch",
        request_serializer=HealthCheckRequest.SerializeToString,
        response_deserializer=HealthCheckResponse.FromString,
    )
    return call(HealthCheckRequest(service=service), timeout=300)


def _next(stream) -> str:
    return _name(next(stream))


def _name(answer) -> str:
    return {number: name for name, number in ServingStatus.items()}[answer.status]


def _check(server, service: str = "") -> str:
    call = server.channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=HealthCheckRequest.SerializeToString,
        response_deserializer=HealthCheckResponse.FromString,
    )
    return _name(call(HealthCheckRequest(service=service), timeout=60))


@pytest.mark.parametrize("service", ["", "small", "tensorflow.serving.PredictionService"])
def test_check_and_watch(server, service):
    assert _check(server, service) == "SERVING"
    stream = _watch(server, service)
    assert _next(stream) == "SERVING"
    stream.cancel()


def test_unknown_services(server):
    with pytest.raises(grpc.RpcError) as refusal:
        _check(server, "nobody")
    assert refusal.value.code() == grpc.StatusCode.NOT_FOUND
    stream = _watch(server, "nobody")
    assert _next(stream) == "SERVICE_UNKNOWN"
    stream.cancel()


def test_bytes_that_are_no_request(server):
    call = server.channel.unary_stream("/grpc.health.v1.Health/Watch")
    with pytest.raises(grpc.RpcError) as refusal:
        next(call(b"\xff\xff"))
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_many_watchers_take_no_thread(base_path):
    with running(base_path, "--grpc_max_threads", "2") as server:
        streams = [_watch(server) for _ in range(20)]
        assert {_next(stream) for stream in streams} == {"SERVING"}
        assert _check(server) == "SERVING"
        # Those that have gone are forgotten.
        for stream in streams[:10]:
            stream.cancel()
        assert _check(server) == "SERVING"


def test_every_change_is_told(base_path, tmp_path):
    file = tmp_path / "models.config"
    file.write_text(CONFIG.format(name="first", path=base_path))
    with running(
        *("--model_config_file", file, "--model_config_file_poll_wait_seconds", "0.05"),
    ) as server:
        streams = {service: _watch(server, service) for service in ("", "first", "second")}
        found = {service: _next(stream) for service, stream in streams.items()}
        assert found == {"": "SERVING", "first": "SERVING", "second": "SERVICE_UNKNOWN"}
        late = tmp_path / "late"
        aside = tmp_path / "new.config"
        aside.write_text(CONFIG.format(name="second", path=late))
        aside.rename(file)
        assert _next(streams["first"]) == "SERVICE_UNKNOWN"
        assert _next(streams["second"]) == "NOT_SERVING"
        assert _next(streams[""]) == "NOT_SERVING"
        late.symlink_to(base_path)
        assert _next(streams["second"]) == "SERVING"
        assert _next(streams[""]) == "SERVING"
        server.process.terminate()
        for service, last in (("", "NOT_SERVING"), ("second", "NOT_SERVING")):
            assert _next(streams[service]) == last
        # The streams end well, and do not hold up the end.
        for stream in streams.values():
            assert list(stream) == []
            assert stream.code() == grpc.StatusCode.OK


def test_draining_is_said_before_the_ports_close(base_path):
    body = {"instances": np.zeros((1, *SIZE)).tolist()}
    with running(base_path, "--drain_delay_seconds", "600") as server:
        stream = _watch(server)
        assert _next(stream) == "SERVING"
        server.process.send_signal(signal.SIGTERM)
        assert _next(stream) == "NOT_SERVING"
        assert _check(server) == _check(server, "small") == "NOT_SERVING"
        assert server.call("/readyz") == (503, "not ready\n")
        assert server.call("/livez")[0] == 200
        assert server.call("/v1/models/small:predict", body)[0] == 200
        # The second signal closes them; see `Server.stop`.


def test_a_request_that_is_being_sent_is_still_answered(base_path):
    data = json.dumps({"instances": np.zeros((1, *SIZE)).tolist()}).encode()
    head = f"POST /v1/models/small:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n"
    with running(base_path) as server:
        client = socket.create_connection(("127.0.0.1", server.rest_port), timeout=60)
        client.sendall(head.encode() + b"Expect: 100-continue\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 100")
        server.process.terminate()

        def refuses() -> bool:
            try:
                socket.create_connection(("127.0.0.1", server.rest_port), timeout=60).close()
            except ConnectionRefusedError:
                return True
            return False

        until(refuses)
        client.sendall(data)
        answer = b"".join(iter(lambda: client.recv(100_000), b""))
        client.close()
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"Connection: close" in answer
        assert b"predictions" in answer


def test_a_request_that_is_never_sent_does_not_stop_the_end(base_path):
    head = b"POST /v1/models/small:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
    with running(base_path, "--drain_seconds", "0.5") as server:
        client = socket.create_connection(("127.0.0.1", server.rest_port), timeout=60)
        client.sendall(head + b"Expect: 100-continue\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 100")
        server.process.terminate()
        assert server.process.communicate(timeout=120)[1] == ""
        client.close()
