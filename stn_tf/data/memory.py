"""How much memory this process may still use."""

from pathlib import Path

_UNKNOWN = 4 * 2**30


def available_bytes(root: Path = Path("/")) -> int:
    """Returns the memory that is free for use: of the machine, or of the container if that is less.

    Args:
        root: Where `proc` and `sys` are.

    Returns:
        Bytes; 4 GiB where the system does not tell.
    """
    found = [
        free
        for free in (
            _of_machine(root / "proc/meminfo"),
            *_of_groups(root / "proc/self/cgroup", root / "sys/fs/cgroup"),
        )
        if free is not None
    ]
    return max(0, min(found, default=_UNKNOWN))


def _of_machine(path: Path) -> int | None:
    for line in _lines(path):
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return None


def _of_groups(own: Path, mounted: Path) -> list[int | None]:
    """What the process's control group and each around it leave free, in either version."""
    found: list[int | None] = []
    for line in _lines(own):
        _, controllers, group = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        v2 = not controllers
        top = mounted if v2 else mounted / "memory"
        names = (
            ("memory.max", "memory.current", "inactive_file")
            if v2
            else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        )
        folder = top / group.strip("/")
        while True:
            found.append(_free(folder, *names))
            if folder == top:
                break
            folder = folder.parent
    return found


def _free(folder: Path, limit_name: str, usage_name: str, cache_name: str) -> int | None:
    limit, usage = (_number(folder / name) for name in (limit_name, usage_name))
    if limit is None or usage is None:
        return None
    # Pages of files that nobody uses are given back when memory is short.
    cache = next(
        (
            int(line.split()[1])
            for line in _lines(folder / "memory.stat")
            if line.split()[0] == cache_name
        ),
        0,
    )
    return limit - max(0, usage - cache)


def _number(path: Path) -> int | None:
    text = " ".join(_lines(path))
    return int(text) if text.isdigit() else None  # `max` is no limit.


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
