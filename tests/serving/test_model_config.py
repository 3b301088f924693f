"""`models.config` without TensorFlow."""

import subprocess
import sys
from pathlib import Path

import pytest

from stn_tf.errors import ConfigError
from stn_tf.export import write_model_config
from stn_tf.serving.models.model_config import ModelConfig, parse_model_config
from stn_tf.serving.models.version_policy import All, Latest, Specific


def test_what_the_export_wrote_is_read(tmp_path: Path) -> None:
    path = write_model_config(
        tmp_path / "models.config",
        {"a": "/models/a", "b": "/models/b", "c": "/models/c", "dög": tmp_path},
        versions={"a": "all", "b": 2, "c": [3, 5]},
        labels={"c": {"stable": 3, "canary": 5}},
    )
    assert parse_model_config(path.read_text(encoding="utf-8")) == [
        ModelConfig("a", Path("/models/a"), All()),
        ModelConfig("b", Path("/models/b"), Latest(2)),
        ModelConfig(
            "c", Path("/models/c"), Specific(frozenset({3, 5})), {"stable": 3, "canary": 5}
        ),
        ModelConfig("dög", tmp_path, Latest(1)),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_config_list { config { nam: 'a' } }", "in the text: 1:30 : .*no field named"),
        ("model_config_list {\n  config {\n", "in the text: 2:10 : Expected"),
        ("model_config_list { config { name: 3 } }", "in the text: 1:"),
        ("model_config_list { config { } }", "must have a `name`"),
        (
            "model_config_list { config { name: 'a' base_path: 'b' } }",
            "`base_path` of model a must be an absolute path of this machine, but it is 'b'",
        ),
        (
            "model_config_list { config { name: 'a' base_path: '/b' model_platform: 'mxnet' } }",
            "`model_platform` of model a must be tensorflow, but it is 'mxnet'",
        ),
        (
            "model_config_list { config { name: 'a' base_path: '/b' "
            "model_version_policy { specific { } } } }",
            r"must name specific versions, at least 0, but it names \[\]",
        ),
        (
            "model_config_list { config { name: 'a' base_path: '/b' "
            "version_labels { key: 'x' value: -1 } } }",
            "must give versions, but 'x' is -1",
        ),
        (
            "model_config_list { config { name: 'a' base_path: '/b' "
            "logging_config { sampling_config { sampling_rate: 2 } } } }",
            r"`sampling_rate` of model a must be in 0..1, but it is 2\.0",
        ),
        (
            "model_config_list { config { name: 'a' base_path: '/b' "
            "logging_config { log_collector_config { filename_prefix: 'log' } } } }",
            "`filename_prefix` of model a must be the absolute path .*, but it is 'log'",
        ),
        ("custom_model_config { }", "is not supported"),
    ],
)
def test_wrong_text_exception_raised(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_model_config(text)


def test_parse_errors_are_worded_as_by_tensorflow_serving() -> None:
    start = "^Error parsing text-format tensorflow.serving.ModelServerConfig in here: 1:"
    with pytest.raises(ConfigError, match=start):
        parse_model_config("nonsense", "here")


def test_empty_config_has_no_models() -> None:
    assert parse_model_config("# nothing") == []


def test_reading_needs_no_tensorflow(root: Path) -> None:
    script = (
        "import sys\n"
        "import stn_tf.serving.models.model_config, stn_tf.serving.models.store\n"
        "import stn_tf.serving.batching_parameters\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=root)


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        (Latest(), {9}),
        (Latest(2), {9, 4}),
        (Latest(7), {1, 4, 9}),
        (All(), {1, 4, 9}),
        (Specific(frozenset({4, 5})), {4}),
    ],
)
def test_policies_choose_versions(policy: Latest | All | Specific, chosen: set[int]) -> None:
    assert policy.choose([9, 1, 4]) == chosen
    assert policy.choose([]) == frozenset()
