"""A light client of any server, in a process of its own, for `serving.py`.

Reads jobs from standard input, one line of JSON each, and answers each with a line. Requests are
bytes that were made before: what is timed is the server.
"""

import itertools
import json
import random
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

OPEN_CONNECTIONS = 8
Send = Callable[[], None]


class HttpConnection:
    """A connection that is kept, on which the same POST is sent again and again."""

    def __init__(self, port: int, path: str, kind: str, body: bytes) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {kind}\r\n"
        self._request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def send(self) -> None:
        """Sends the request and reads the answer; raises RuntimeError unless it is a 200."""
        self._socket.sendall(self._request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._receive()
        head, _, body = answer.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
        while len(body) < int(length or 0):
            body += self._receive()
        if not length or not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"{head.decode()}\n{body.decode()}")

    def _receive(self) -> bytes:
        data = self._socket.recv(1 << 16)
        if not data:
            raise RuntimeError("The server closed the connection.")
        return data

    def close(self) -> None:
        """Closes the connection."""
        self._socket.close()


class GrpcConnection:
    """A channel of its own, on which the same request is sent again and again."""

    def __init__(self, port: int, method: str, request: bytes) -> None:
        import grpc

        limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._channel = grpc.insecure_channel(
            f"127.0.0.1:{port}", [*limits, ("grpc.use_local_subchannel_pool", 1)]
        )
        self._call = self._channel.unary_unary(method)
        self._request = request

    def send(self) -> None:
        """Sends the request and reads the answer; raises RpcError unless it is OK."""
        self._call(self._request)

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()


def connect(job: dict[str, Any]) -> HttpConnection | GrpcConnection:
    """A connection that a job asks for."""
    body = Path(job["body"]).read_bytes()
    if job["kind"] == "gRPC":
        return GrpcConnection(job["port"], job["path"], body)
    return HttpConnection(job["port"], job["path"], job["kind"], body)


def closed(sends: list[Send], seconds: float) -> list[float]:
    """Every connection sends as soon as it has its answer; returns the seconds of each request."""

    def work(send: Send) -> Iterator[float]:
        end = time.perf_counter() + seconds
        while (start := time.perf_counter()) < end:
            send()
            yield time.perf_counter() - start

    return _in_threads([work(send) for send in sends])


def open_loop(sends: list[Send], seconds: float, rate: float, arrivals: str) -> list[float]:
    """Requests arrive whatever the server does, `rate` a second: `evenly` or `at random` (Poisson).

    Returns:
        Seconds from each arrival to its answer: waiting for a free connection is the server's.
    """
    chance = random.Random(1)
    begin = time.perf_counter()
    gaps = {"evenly": lambda: 1 / rate, "at random": lambda: chance.expovariate(rate)}[arrivals]
    times = itertools.accumulate(iter(gaps, None), initial=begin)
    lock = threading.Lock()

    def work(send: Send) -> Iterator[float]:
        while True:
            with lock:
                arrival = next(times)
            if arrival > begin + seconds:
                return
            time.sleep(max(arrival - time.perf_counter(), 0.0))
            send()
            yield time.perf_counter() - arrival

    return _in_threads([work(send) for send in sends])


def bare(job: dict[str, Any]) -> dict[str, float]:
    """ONNX Runtime alone on a batch, called by as many threads as the server has cores."""
    import numpy as np

    from stn_tf.serving.models.onnx_session import make_session

    session = make_session(Path(job["model"]), threads=1)
    feeds = {session.get_inputs()[0].name: np.load(job["body"])}

    def call() -> None:
        session.run(job["outputs"], feeds)

    call()
    start, spent = time.perf_counter(), time.process_time()
    taken = closed([call] * job["connections"], job["seconds"])
    spent = time.process_time() - spent
    return report(taken, time.perf_counter() - start) | {"cpu_seconds": spent}


def _in_threads(works: list[Iterator[float]]) -> list[float]:
    found: list[list[float]] = []
    errors: list[Exception] = []

    def run(work: Iterator[float]) -> None:
        try:
            found.append(list(work))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return list(itertools.chain.from_iterable(found))


def report(taken: list[float], seconds: float) -> dict[str, float]:
    """Requests, how long they took together, and milliseconds of the median and the 99th."""
    ordered = sorted(taken)
    return {
        "requests": len(taken),
        "seconds": seconds,
        "p50": statistics.median(ordered) * 1e3,
        "p99": ordered[int(len(ordered) * 0.99)] * 1e3,
    }


def answer(job: dict[str, Any]) -> dict[str, float]:
    """Does a job."""
    if job["kind"] == "bare":
        return bare(job)
    rate = job.get("rate")
    connections = [connect(job) for _ in range(OPEN_CONNECTIONS if rate else job["connections"])]
    try:
        sends = [connection.send for connection in connections]
        sends[0]()
        start = time.perf_counter()
        if rate:
            taken = open_loop(sends, job["seconds"], rate, job["arrivals"])
        else:
            taken = closed(sends, job["seconds"])
        return report(taken, time.perf_counter() - start)
    finally:
        for connection in connections:
            connection.close()


def main() -> None:
    """Does jobs until there are no more."""
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
