"""`--monitoring_config_file` and `--grpc_channel_arguments`."""

import grpc
import pytest
from tensorflow_serving.apis import get_model_status_pb2

from stn_tf.errors import ConfigError
from stn_tf.serving.server.channel_arguments import channel_arguments
from stn_tf.serving.server.monitoring import METRICS_PATH, read_metrics_path
from tests.serving.server.running import refused, running


def test_metrics_are_where_the_file_says(base_path, tmp_path):
    path = tmp_path / "monitoring.config"
    path.write_text('prometheus_config { enable: true path: "/metrics" }')
    with running(base_path, "--monitoring_config_file", path) as server:
        status, text = server.call("/metrics")
        assert status == 200
        assert text.startswith("# HELP")
        assert server.call(METRICS_PATH)[0] == 404


def test_metrics_are_off_where_the_file_says_so(base_path, tmp_path):
    path = tmp_path / "monitoring.config"
    path.write_text("prometheus_config { }")
    with running(base_path, "--monitoring_config_file", path) as server:
        assert server.call(METRICS_PATH)[0] == 404
        assert server.call("/v1/models/small")[0] == 200


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prometheus_config { enable: true }", METRICS_PATH),
        ("prometheus_config { enable: true path: '/a/b-c_d.e' }", "/a/b-c_d.e"),
        ("prometheus_config { path: '/a' }", None),
        ("", None),
    ],
)
def test_the_file(tmp_path, text, expected):
    path = tmp_path / "monitoring.config"
    path.write_text(text)
    assert read_metrics_path(path) == expected


@pytest.mark.parametrize("value", ["metrics", "/", "/a b", "/{x}", "/v1/models", "/livez"])
def test_paths_that_cannot_be(tmp_path, value):
    path = tmp_path / "monitoring.config"
    path.write_text(f'prometheus_config {{ enable: true path: "{value}" }}')
    with pytest.raises(ConfigError, match="`path` must be a URL's path"):
        read_metrics_path(path)


def test_a_damaged_file_is_refused_at_the_start(tmp_path):
    path = tmp_path / "monitoring.config"
    path.write_text("prometheus { }")
    line = refused("--model_base_path", tmp_path, "--monitoring_config_file", path)
    assert "Error parsing text-format tensorflow.serving.MonitoringConfig" in line


def test_channel_arguments():
    assert channel_arguments("") == {}
    assert channel_arguments("a.b=2000, c = x=y ,d=-1,e=,") == {
        "a.b": 2000,
        "c": "x=y",
        "d": -1,
        "e": "",
    }
    # gRPC's integers have 32 bits.
    assert channel_arguments("a=2147483647,b=2147483648") == {"a": 2147483647, "b": "2147483648"}


@pytest.mark.parametrize("text", ["a", "=1", "a=1,b"])
def test_channel_arguments_that_cannot_be(text):
    with pytest.raises(ConfigError, match=r"`--grpc_channel_arguments` must be KEY=VALUE"):
        channel_arguments(text)


def test_channel_arguments_reach_grpc(base_path):
    with running(
        base_path, "--grpc_channel_arguments", "grpc.max_receive_message_length=100"
    ) as server:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = "small"
        assert server.models.GetModelStatus(request).model_version_status
        request.model_spec.name = "x" * 200
        with pytest.raises(grpc.RpcError) as refusal:
            server.models.GetModelStatus(request)
        assert refusal.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_channel_arguments_are_refused_at_the_start(tmp_path):
    line = refused("--model_base_path", tmp_path, "--grpc_channel_arguments", "nonsense")
    assert line.endswith("but it holds 'nonsense'.")
