"""What is sent again: while the server is away, in time, and what may be."""

import http.server
import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from stn_tf.serving.client import Client, RequestError
from stn_tf.serving.client.exchange import Exchange, Flow, Pause, Send, ask
from stn_tf.serving.client.grpc_calls import GrpcCalls
from tests.serving.client.conftest import asker, url
from tests.serving.server.conftest import start


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_a_server_that_is_killed_and_comes_back(base_path, pictures, protocol):
    server = start(base_path)
    target = url(server, protocol)
    with Client(target) as client:
        before = client.predict(pictures, model="small").outputs["logits"]
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        assert not client.live()
        with pytest.raises(RequestError) as error:
            client.predict(pictures, model="small")
        assert error.value.code == "UNAVAILABLE"
        assert "Check the address" in str(error.value)
    with Client(target, retries=1000, timeout=120) as client:
        answers = []
        waiting = threading.Thread(
            target=lambda: answers.append(client.predict(pictures, model="small"))
        )
        waiting.start()
        again = start(base_path, "--port", server.port, "--rest_api_port", server.rest_port)
        waiting.join()
        # The client that was there before the server, and its connections, serve on.
        for _ in range(3):
            answers.append(client.predict(pictures, model="small"))
    assert again.stop() == 0
    for answer in answers:
        np.testing.assert_array_equal(answer.outputs["logits"], before)
    assert len(answers) == 4


def _step(flow: Flow, *errors: str) -> Send | Pause:
    """The step of a flow after errors with these codes."""
    step = next(flow)
    for code in errors:
        assert isinstance(step, Send)
        step = flow.throw(RequestError(code, "no"))
        if isinstance(step, Pause):
            step = next(flow)
    return step


def _seconds(seconds: float) -> float:
    return time.monotonic() + seconds


def test_pauses_grow_and_vary():
    def pauses() -> list[float]:
        flow, found = ask(Exchange("/", bytes), _seconds(1000), retries=7), []
        next(flow)
        for _ in range(7):
            step = flow.throw(RequestError("UNAVAILABLE", "no"))
            assert isinstance(step, Pause)
            found.append(step.seconds)
            assert isinstance(next(flow), Send)
        with pytest.raises(RequestError):
            flow.throw(RequestError("UNAVAILABLE", "no"))
        return found

    first, second = pauses(), pauses()
    for index, pause in enumerate(first):
        longest = min(0.1 * 2**index, 2)
        assert longest / 2 <= pause <= longest
    assert first != second


@pytest.mark.parametrize(
    "code", ["DEADLINE_EXCEEDED", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "INTERNAL", "CANCELLED"]
)
def test_what_is_not_sent_again(code):
    exchange = Exchange("/", bytes)
    assert (
        _step(ask(exchange, _seconds(1000), 4), "UNAVAILABLE", "UNAVAILABLE").exchange == exchange
    )
    with pytest.raises(RequestError) as error:
        _step(ask(exchange, _seconds(1000), 4), "UNAVAILABLE", code)
    assert error.value.code == code


def test_no_pause_outlasts_the_deadline():
    with pytest.raises(RequestError, match="UNAVAILABLE"):
        _step(ask(Exchange("/", bytes), _seconds(0.04), 4), "UNAVAILABLE")
    with pytest.raises(RequestError, match="DEADLINE_EXCEEDED: The time for the request is over"):
        next(ask(Exchange("/", bytes), _seconds(-1), 4))


def test_reload_is_never_sent_again(tmp_path):
    (tmp_path / "models.config").write_text("")
    flow = GrpcCalls(timeout=1000, retries=4).reload(tmp_path / "models.config", None)
    with pytest.raises(RequestError, match="UNAVAILABLE"):
        _step(flow, "UNAVAILABLE")


@contextmanager
def _overloaded(times: int, status: int) -> Iterator[tuple[str, list[str]]]:
    """An HTTP server that refuses some requests before it answers; the paths that it saw."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            ok = len(seen) > times
            version = {"version": "7", "state": "AVAILABLE", "status": {"error_code": "OK"}}
            body = json.dumps({"model_version_status": [version]}) if ok else "<h1>full</h1>"
            self.send_response(200 if ok else status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [502, 503])
def test_a_server_that_is_overloaded_for_a_while(kind, status):
    with _overloaded(2, status) as (target, seen):
        (version,) = asker(target, kind)("status", "a b/c", version=7)
        assert version.version == 7
        assert seen == ["/v1/models/a%20b%2Fc/versions/7"] * 3


@pytest.mark.parametrize(
    ("status", "code"),
    [(429, "RESOURCE_EXHAUSTED"), (500, "INTERNAL"), (504, "DEADLINE_EXCEEDED"), (302, "UNKNOWN")],
)
def test_other_answers_of_http(kind, status, code):
    with _overloaded(2, status) as (target, seen):
        with pytest.raises(RequestError, match="<h1>full</h1>") as error:
            asker(target, kind)("status", "small")
        assert error.value.code == code
        assert len(seen) == 1
