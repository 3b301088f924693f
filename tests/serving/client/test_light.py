"""Clients import what they use, and no more."""

import subprocess
import sys

import pytest

from tests.serving.client.conftest import url

SCRIPT = """
import asyncio, sys
import numpy as np
from stn_tf.serving.client import AsyncClient, Client

early = {"grpc", "urllib3", "aiohttp"} & set(sys.modules)
target, pictures = sys.argv[1], np.zeros((1, 9, 8, 1), np.float32)

async def ask():
    async with AsyncClient(target) as client:
        return await client.predict(pictures, model="small")

with Client(target) as client:
    logits = client.predict(pictures, model="small").outputs["logits"]
assert np.array_equal(asyncio.run(ask()).outputs["logits"], logits)
heavy = {"tensorflow", "keras", "onnx", "onnxruntime", "pydantic", "PIL", "grpc", "urllib3"}
print(sorted(early), sorted(heavy & set(sys.modules)), logits.shape)
"""


@pytest.mark.parametrize(("protocol", "found"), [("grpc", ["grpc"]), ("rest", ["urllib3"])])
def test_a_client_in_a_process_of_its_own(server, root, protocol, found):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, url(server, protocol)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == f"[] {found} (1, 3)\n", done.stderr
    assert done.stderr == ""
