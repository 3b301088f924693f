"""Classify and Regress, by a real server."""

import numpy as np
import pytest

from stn_tf.serving.client import RequestError
from tests.serving.client.conftest import asker, url
from tests.serving.server.inference.models import tensorflow_1_model
from tests.serving.server.running import running


@pytest.fixture(scope="module")
def examples_server(tmp_path_factory):
    out = tmp_path_factory.mktemp("examples") / "one"
    tensorflow_1_model(out / "1", slope=0.5)
    with running(out) as server:
        yield server


@pytest.fixture(params=["grpc", "rest"])
def protocol(request):
    return request.param


@pytest.fixture
def ask(examples_server, protocol, kind):
    return asker(url(examples_server, protocol), kind)


def test_classify(ask):
    small, large = [("small", 2.5), ("any", -2.5)], [("large", 4.0), ("any", -4.0)]
    rows = [{"x": 1.0}, {"x": np.float32([4])}]
    assert ask("classify", rows, model="one") == [small, large]
    assert ask("classify", rows[:1], model="one", version=1, signature="labels") == [
        [("small", 0.0), ("any", 0.0)]
    ]
    assert ask("classify", [{}], model="one", context={"x": [4.0]}) == [large]


def test_regress(ask):
    found = ask("regress", [{"x": 1.0}, {"x": 4.0}], model="one", signature="line")
    assert (found.dtype, found.tolist()) == (np.float32, [2.5, 4.0])


@pytest.mark.parametrize(
    ("rows", "signature", "message"),
    [
        ([{"x": 1.0}], "S", "No signature was found with the name: S"),
        ([{"x": "text"}], None, "x"),
        ([], None, "empty"),
    ],
)
def test_refusals(ask, rows, signature, message):
    with pytest.raises(RequestError, match=message) as error:
        ask("classify", rows, model="one", signature=signature)
    assert error.value.code == "INVALID_ARGUMENT"
    assert ask("ready", "one") is True
