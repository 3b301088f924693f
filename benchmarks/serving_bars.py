"""What `serving.py` is to show."""

import statistics
import time
from typing import Any

from serving_contenders import tensor_bodies

# Fewer do not show a 99th percentile.
PERCENTILE_REQUESTS = 100


def decoding_microseconds() -> dict[str, float]:
    """How long one 224 x 224 x 3 tensor takes from the wire to an array."""
    from stn_tf.serving.protocol.call import read_call

    found = {}
    for name in ("gRPC, float_val", "gRPC, tensor_content"):
        data = tensor_bodies("224x224x3", 1)[name].data
        taken = []
        for _ in range(1000):
            start = time.perf_counter()
            read_call(data)
            taken.append(time.perf_counter() - start)
        found[name] = statistics.median(taken) * 1e6
    return found


def bars(
    rows: list[dict[str, Any]], names: tuple[str, ...], decoding: dict[str, float]
) -> list[dict[str, Any]]:
    """What was promised, and whether it holds; what nobody measured is left out.

    Args:
        rows: What was measured.
        names: Of the peers.
        decoding: Microseconds by body.
    """
    made: list[dict[str, Any]] = []

    def bar(text: str, value: float, limit: float, most: bool) -> None:
        met = value <= limit if most else value >= limit
        made.append({"bar": text, "value": value, "limit": limit, "met": met})
        sign = "<=" if most else ">="
        print(f"{'met   ' if met else 'MISSED'} {text}: {value:.2f} {sign} {limit:g}", flush=True)

    print()
    for name, microseconds in decoding.items():
        bar(f"microseconds to decode 224x224x3, {name}", microseconds, 50, True)
    cases: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        cases.setdefault((row["images"], row["content"]), []).append(row)
    for (images, content), case in cases.items():
        ours = [row for row in case if row["contender"] == "ours"]
        peers = [row for row in case if row["contender"] in names]
        alone = [row for row in case if row["contender"] == "bare"]
        if alone and (images, content) == ("224x224x3", "8 tensors"):
            ratio = min(r["cpu_milliseconds"] for r in ours) / alone[0]["cpu_milliseconds"]
            bar(f"{images}, {content}: processor time, best body / bare", ratio, 1.25, True)
        if peers and content != "JPEG":  # Whose time is Pillow's, everywhere.
            bar(f"{images}, {content}: images/s, best / best", _fastest(ours, peers), 2, False)
            json_rows = [[r for r in rs if r["body"] == "JSON"] for rs in (ours, peers)]
            bar(f"{images}, {content}: images/s, JSON / JSON", _fastest(*json_rows), 2, False)
        for row in ours:
            evenly = row["half_load_alone"]
            if evenly["requests"] >= PERCENTILE_REQUESTS:
                text = f"{images}, {content}, {row['body']}: p99 / p50 at half load"
                bar(text, evenly["p99"] / evenly["p50"], 3, True)
    return made


def _fastest(ours: list[dict[str, Any]], peers: list[dict[str, Any]]) -> float:
    first, second = (max(row["images_per_second"] for row in rows) for rows in (ours, peers))
    return float(first / second)
