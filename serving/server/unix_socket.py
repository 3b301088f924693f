"""The file of a Unix socket: free before a server listens on it, gone after."""

import contextlib
import errno
import socket
import stat
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def unix_socket(path: Path) -> Iterator[None]:
    """Makes room for a socket, and removes it at the end of the block.

    Raises:
        OSError: If a process listens there, or something that is no socket is in its place.
    """
    _clear(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _clear(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            found = probe.connect_ex(str(path))
        except OSError as error:  # The path is too long.
            raise OSError(f"`{path}` cannot be listened on: {error}.") from None
    if not path.parent.is_dir():
        raise OSError(f"`{path}` cannot be listened on: `{path.parent}` is no folder.")
    if found == errno.ENOENT:
        return
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise OSError(f"`{path}` cannot be listened on: it is there, and no socket.")
    # A socket that nobody listens on was left by a process that was killed.
    if found != errno.ECONNREFUSED:
        raise OSError(f"`{path}` cannot be listened on: another process does.")
    path.unlink()
