"""Fuzzes the reader of REST bodies against an obvious one; see `make fuzz`."""

import random
import re

import atheris

with atheris.instrument_imports(include=["stn_tf.serving.protocol"]):
    from tests.fuzz.fuzzing import fuzz
    from tests.serving.protocol.obvious_rest import agree

SEEDS = [
    '{"instances": [[1, 2.5], [3e-2, -4]]}',
    '{"instances": [{"x": 1.5, "y": {"b64": "/w=="}}, {"y": "a", "x": 2}]}',
    '{"instances": [{"b64": "AAEC"}, "é", "\\u00e9"]}',
    '{"inputs": {"x": [[0], [255]], "y": "a"}, "signature_name": "serving_default"}',
    '{"inputs": [NaN, Infinity, -Infinity, -0.0]}',
    '{"inputs": [9007199254740993, 18446744073709551615, 1e39]}',
    '{"instances": [[[1, 2]], [[3, 4]], [[5, 6]]]}',
    '{"inputs": [[], [[]]]}',
    '{"inputs": [true, false], "other": {"a": null}}',
]
WORDS = [
    "instances",
    "inputs",
    "signature_name",
    '{"x":',
    "b64",
    "NaN",
    "Infinity",
    "1e400",
    "[[]]",
]
# What JSON is made of: strings, numbers and words, single characters.
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\w.+-]+|\s+|.', re.DOTALL)


def move_tokens(data: bytes, source: random.Random) -> bytes:
    """Takes a few tokens away, or puts them somewhere else too."""
    tokens = TOKEN.findall(data) or [b"[", b"]"]
    start = source.randrange(len(tokens))
    some = tokens[start : start + source.randint(1, 5)]
    if source.random() < 0.4:
        del tokens[start : start + len(some)]
    else:
        place = source.randrange(len(tokens) + 1)
        tokens[place:place] = some
    return b"".join(tokens)


if __name__ == "__main__":
    fuzz(agree, [seed.encode() for seed in SEEDS], [word.encode() for word in WORDS], move_tokens)
