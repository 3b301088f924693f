"""Servers with options of their own for the length of a block, and servers that do not start."""

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.serving.server.conftest import Server, start

# Far more than anything takes: what is not so by then never will be.
_PATIENCE_SECONDS = 120


@contextlib.contextmanager
def running(*arguments: str | Path) -> Iterator[Server]:
    """A server that must still run, and stop well, at the end of the block."""
    server = start(*arguments)
    try:
        yield server
        assert server.stop() == 0
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.communicate()


def refused(*arguments: str | Path) -> str:
    """The one line that a server says which does not start."""
    command = [sys.executable, "-W", "ignore", "-m", "stn_tf.cli.main", "serve"]
    command += ["--host", "127.0.0.1", "--port", "0", "--rest_api_port", "0"]
    found = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, timeout=_PATIENCE_SECONDS
    )
    (line,) = found.stderr.splitlines()
    assert found.returncode != 0
    assert line.startswith("Error: ")
    return line


def until(holds: Callable[[], bool]) -> None:
    """Waits for something that must become true."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def next_line(server: Server) -> str:
    """The next line that a server says; one that says nothing is killed, and gives an empty one."""
    assert server.process.stderr is not None
    timer = threading.Timer(_PATIENCE_SECONDS, server.process.kill)
    timer.start()
    try:
        return server.process.stderr.readline()
    finally:
        timer.cancel()
