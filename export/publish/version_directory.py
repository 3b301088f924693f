"""The numbered folder of a new version: it appears whole, or not at all."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from stn_tf.errors import ExportError


class VersionDirectory:
    """A version that is being built aside.

    Attributes:
        path: Where to build it. After the block, where the finished version is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path


@contextlib.contextmanager
def new_version(out: Path) -> Iterator[VersionDirectory]:
    """Gives a folder to build in, which becomes `out/1`, or the next free number, at the end.

    It is built under a hidden name on the same file system and renamed, so that a server that
    watches `out` never sees half of it. If the block raises, Ctrl-C included, nothing is left,
    neither `out` nor its parents if they were not there before.

    Raises:
        ExportError: If `out` cannot be written.
    """
    created = _missing(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".new-version-", dir=out))
    except OSError as error:
        _remove_empty(created)
        raise ExportError(
            f"`{out}` cannot be written: {error.strerror}. Choose another folder with --out."
        ) from error
    # mkdtemp makes it for one user; a server may be another.
    aside.chmod(0o777 & ~_umask())
    version = VersionDirectory(aside)
    try:
        yield version
        version.path = _rename(aside, out)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        _remove_empty(created)
        raise


def _rename(aside: Path, out: Path) -> Path:
    """Renames to the next number, which another export may take at the same time."""
    while True:
        taken = [int(p.name) for p in out.iterdir() if p.name.isascii() and p.name.isdigit()]
        target = out / str(max(taken, default=0) + 1)
        try:
            return aside.rename(target)
        except OSError:
            if not target.exists():
                raise


def _missing(folder: Path) -> list[Path]:
    """The folder and those of its parents that do not exist, innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _umask() -> int:
    # Reading it means setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask
