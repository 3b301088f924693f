"""Starts a fuzzer on seeds that are real requests."""

import random
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import atheris


def fuzz(
    check: Callable[[bytes], object],
    seeds: Iterable[bytes],
    words: Iterable[bytes],
    mutate: Callable[[bytes, random.Random], bytes] | None = None,
) -> None:
    """Gives `check` ever new bytes until it raises; what it raised is printed.

    The first argument of the command is the folder of what was found to be interesting; the others
    are libFuzzer's, such as `-max_total_time=60`.

    Args:
        check: Raises where something is wrong.
        seeds: Where to begin.
        words: What is often put in.
        mutate: Changes bytes too, every other time.
    """
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for index, seed in enumerate(seeds):
        (folder / f"seed-{index}").write_bytes(seed)
    dictionary = folder.with_suffix(".dict")
    quoted = ("".join(f"\\x{byte:02x}" for byte in word) for word in words)
    dictionary.write_text("".join(f'"{word}"\n' for word in quoted))
    options = [f"-dict={dictionary}", f"-artifact_prefix={folder}-failed-", "-timeout=10"]

    def change(data: bytes, limit: int, seed: int) -> bytes:
        if mutate is None or seed % 2:
            return bytes(atheris.Mutate(data, limit))
        return mutate(data, random.Random(seed))[:limit]

    atheris.Setup([*sys.argv, *options], lambda data: check(data), custom_mutator=change)
    atheris.Fuzz()
