"""Models that cannot be loaded: the state, the error and the metric say why, and others serve."""

from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tensorflow_serving.apis import get_model_status_pb2

from tests.serving.server.conftest import Server
from tests.serving.server.running import refused, running, until
from tests.serving.server.test_metrics import read_page

ROW = {"instances": [[1.0, 2.0]]}


def _model(location: str | None = None) -> onnx.ModelProto:
    """y = x + 1, the 1 from the model itself or from a file."""
    weight = numpy_helper.from_array(np.ones(2, np.float32), "weight")
    if location is not None:
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value=location)
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, 2]) for n in "xy")
    node = helper.make_node("Add", ["x", "weight"], ["y"])
    graph = helper.make_graph([node], "sum", [x], [y], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _write(version_dir: Path, content: bytes) -> None:
    aside = version_dir.with_name(f".{version_dir.name}")
    aside.mkdir(parents=True)
    (aside / "model.onnx").write_bytes(content)
    aside.rename(version_dir)


def _corrupt(base: Path, version: str) -> str:
    _write(base / version, _model().SerializeToString()[:-20])
    return "is no model that onnx"


def _nonsense(base: Path, version: str) -> str:
    model = _model()
    model.graph.node[0].op_type = "Nonsense"
    _write(base / version, model.SerializeToString())
    return "is no model that ONNX Runtime"


def _above(base: Path, version: str) -> str:
    (base / "weights").write_bytes(np.ones(2, np.float32).tobytes())
    _write(base / version, _model("../weights").SerializeToString())
    return "reads `weight` from '../weights', outside of its folder."


def _absolute(base: Path, version: str) -> str:
    (base / "weights").write_bytes(np.ones(2, np.float32).tobytes())
    _write(base / version, _model(str(base / "weights")).SerializeToString())
    return "outside of its folder."


def _linked(base: Path, version: str) -> str:
    (base / "weights").write_bytes(np.ones(2, np.float32).tobytes())
    _write(base / f".{version}0", _model("weights").SerializeToString())
    (base / f".{version}0" / "weights").symlink_to(base / "weights")
    (base / f".{version}0").rename(base / version)
    return "reads `weight` from 'weights', outside of its folder."


def _missing(base: Path, version: str) -> str:
    _write(base / version, _model("nowhere").SerializeToString())
    return "is no model that ONNX Runtime"


def _empty(base: Path, version: str) -> str:
    (base / version).mkdir()
    return "holds neither model.onnx nor saved_model.pb"


BAD = [_corrupt, _nonsense, _above, _absolute, _linked, _missing, _empty]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Server, Path]]:
    base = tmp_path / "m"
    _write(base / "1", _model().SerializeToString())
    with running(base, "--file_system_poll_wait_seconds", "0.02") as server:
        yield server, base


@pytest.mark.parametrize("damage", BAD, ids=lambda damage: damage.__name__.strip("_"))
def test_an_older_version_serves_on(
    served: tuple[Server, Path], damage: Callable[[Path, str], str], tmp_path: Path
) -> None:
    server, base = served
    words = damage(base, "2")
    until(lambda: server.call("/v1/models/m/versions/2")[0] == 200)
    until(lambda: _status(server, 2).state == get_model_status_pb2.ModelVersionStatus.END)
    failed = _status(server, 2).status
    assert failed.error_code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
    assert words in failed.error_message
    (one,) = server.call("/v1/models/m/versions/2")[1]["model_version_status"]
    assert one["state"] == "END"
    assert one["status"] == {
        "error_code": "FAILED_PRECONDITION",
        "error_message": failed.error_message,
    }
    until(lambda: _failures(server) == 1)
    (reason,) = (sample.labels["reason"] for sample in _samples(server))
    assert len(reason) <= 100
    # What is wrong stands before the cut, however long the path of the folder is.
    assert words[:30] in reason
    assert str(base) not in reason
    assert _status(server, 1).state == get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert server.call("/v1/models/m:predict", ROW) == (200, {"predictions": [[2.0, 3.0]]})
    assert server.call("/readyz")[0] == 200
    assert server.call("/v1/models/m/versions/2:predict", ROW)[0] == 404
    # The same files are not tried again; repaired ones are.
    # At once: a folder that lost one file after the other would be one that changes.
    (base / "2").rename(tmp_path / "broken")
    _write(base / "2", _model().SerializeToString())
    until(lambda: _status(server, 2).state == get_model_status_pb2.ModelVersionStatus.AVAILABLE)
    assert _status(server, 2).status.error_message == ""
    assert _failures(server) == 1


@pytest.mark.parametrize("damage", BAD, ids=lambda damage: damage.__name__.strip("_"))
def test_a_server_without_another_version_does_not_start(
    tmp_path: Path, damage: Callable[[Path, str], str]
) -> None:
    base = tmp_path / "m"
    base.mkdir()
    words = damage(base, "1")
    line = refused(base)
    assert line.startswith("Error: Some models did not become available: {m: version 1: ")
    assert words in line


def test_external_data_beside_the_file_is_read(served: tuple[Server, Path]) -> None:
    server, base = served
    _write(base / ".20", _model("weights").SerializeToString())
    (base / ".20" / "weights").write_bytes(np.full(2, 5, np.float32).tobytes())
    (base / ".20").rename(base / "2")
    until(lambda: _status(server, 2).state == get_model_status_pb2.ModelVersionStatus.AVAILABLE)
    assert server.call("/v1/models/m:predict", ROW) == (200, {"predictions": [[6.0, 7.0]]})


def _status(server: Server, version: int) -> get_model_status_pb2.ModelVersionStatus:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "m"
    found = {one.version: one for one in server.models.GetModelStatus(request).model_version_status}
    return found.get(version, get_model_status_pb2.ModelVersionStatus())


def _samples(server: Server) -> list:
    family = read_page(server)["stn_tf_model_load_failures"]
    return [sample for sample in family.samples if sample.name.endswith("_total")]


def _failures(server: Server) -> float:
    return sum(sample.value for sample in _samples(server))
