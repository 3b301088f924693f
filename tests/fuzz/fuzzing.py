"""Starts a fuzzer on seeds that are real requests."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import atheris


def fuzz(check: Callable[[bytes], object], seeds: Iterable[bytes], words: Iterable[bytes]) -> None:
    """Gives `check` ever new bytes until it raises; what it raised is printed.

    The first argument of the command is the folder of what was found to be interesting; the others
    are libFuzzer's, such as `-max_total_time=60`.

    Args:
        check: Raises where something is wrong.
        seeds: Where to begin.
        words: What is often put in.
    """
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for index, seed in enumerate(seeds):
        (folder / f"seed-{index}").write_bytes(seed)
    dictionary = folder.with_suffix(".dict")
    quoted = ("".join(f"\\x{byte:02x}" for byte in word) for word in words)
    dictionary.write_text("".join(f'"{word}"\n' for word in quoted))
    options = [f"-dict={dictionary}", f"-artifact_prefix={folder}-failed-", "-timeout=10"]
    atheris.Setup([*sys.argv, *options], lambda data: check(data))
    atheris.Fuzz()
