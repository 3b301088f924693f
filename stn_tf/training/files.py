"""Files that are never seen half-written, and what is said when they cannot be written."""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from stn_tf.errors import RunError


def write_whole(path: Path, text: str) -> None:
    """Writes a file so that it is never seen half-written, not even after a crash."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        sync(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def remove_folder(path: Path) -> None:
    """Removes a folder, which is gone under its name at once or not at all."""
    aside = path.with_name(f".{path.name}.removed")
    shutil.rmtree(aside, ignore_errors=True)
    path.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def writing(path: Path, what: str, cure: str = "") -> Iterator[None]:
    """Turns the errors of writing into one that names the file system.

    Args:
        path: Where it is written.
        what: What is written, as in "Cannot write the run to ...".
        cure: What to do once there is space again.

    Raises:
        RunError: Instead of what the file system or TensorFlow raised.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, (OSError, *_operation_errors())):
            raise
        place = path.absolute()
        while not place.is_dir():
            place = place.parent
        mount = next(p for p in (place, *place.parents) if os.path.ismount(p))
        free = shutil.disk_usage(mount).free
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        # TensorFlow's text gives the file first, and the operation that wrote it around both.
        reason = reason.partition(" [Op:")[0].rpartition("; ")[2]
        raise RunError(
            f"Cannot write {what} to `{path}`: {reason}. Its file system is the one at "
            f"`{mount}` ({free / 1e6:.1f} MB free). "
            f"{cure or 'Free some space there or choose another folder.'}"
        ) from error


def _operation_errors() -> tuple[type[Exception], ...]:
    """What TensorFlow raises, if it is there: readers of settings use this file too."""
    tf = sys.modules.get("tensorflow")
    return () if tf is None else (tf.errors.OpError,)
