"""TensorFlow Serving's start-up files, read back with its own messages."""

from itertools import pairwise
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf import wrappers_pb2 as wrappers
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.config import model_server_config_pb2

from stn_tf.errors import ExportError
from stn_tf.export.fleet.serving_config import (
    batch_sizes,
    write_batching_parameters,
    write_model_config,
)
from stn_tf.export.fleet.text_proto import Name, text_proto


@pytest.fixture(scope="module")
def batching_parameters():
    """The message BatchingParameters of session_bundle_config.proto, which no package ships."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="batching_parameters.proto", package="unit", syntax="proto3"
    )
    file.dependency.append(wrappers.DESCRIPTOR.name)
    message = file.message_type.add(name="BatchingParameters")
    wrapped = {
        **{"max_batch_size": (1, "Int64Value"), "batch_timeout_micros": (2, "Int64Value")},
        **{"max_enqueued_batches": (3, "Int64Value"), "num_batch_threads": (4, "Int64Value")},
        "enable_large_batch_splitting": (8, "BoolValue"),
        "max_execution_batch_size": (9, "Int64Value"),
    }
    for name, (number, kind) in wrapped.items():
        message.field.add(
            name=name,
            number=number,
            label=field.LABEL_OPTIONAL,
            type=field.TYPE_MESSAGE,
            type_name=f".google.protobuf.{kind}",
        )
    message.field.add(
        name="allowed_batch_sizes", number=6, label=field.LABEL_REPEATED, type=field.TYPE_INT64
    )
    message.field.add(
        name="pad_variable_length_inputs",
        number=7,
        label=field.LABEL_OPTIONAL,
        type=field.TYPE_BOOL,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    cls = message_factory.GetMessageClass(pool.FindMessageTypeByName("unit.BatchingParameters"))
    return lambda path: text_format.Parse(Path(path).read_text("utf-8"), cls())


def _models(path: Path) -> dict:
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse(path.read_text("utf-8"), config)
    return {entry.name: entry for entry in config.model_config_list.config}


def test_models(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_model_config(
        tmp_path / "models.config",
        {"digits": "exports/digits", 'dög "x"': "/models/ä b", "far": "s3://bucket/far"},
        versions={"digits": [3, 5], 'dög "x"': "all", "far": 2},
        labels={"digits": {"stable": 3, "canary": 5}},
    )
    found = _models(path)
    assert list(found) == ["digits", 'dög "x"', "far"]
    assert {entry.model_platform for entry in found.values()} == {"tensorflow"}
    assert found["digits"].base_path == str(tmp_path / "exports/digits")
    assert found['dög "x"'].base_path == "/models/ä b"
    assert found["far"].base_path == "s3://bucket/far"
    assert list(found["digits"].model_version_policy.specific.versions) == [3, 5]
    assert dict(found["digits"].version_labels) == {"stable": 3, "canary": 5}
    assert found['dög "x"'].model_version_policy.WhichOneof("policy_choice") == "all"
    assert found["far"].model_version_policy.latest.num_versions == 2


def test_latest_version_is_the_default(tmp_path):
    found = _models(write_model_config(tmp_path / "models.config", {"digits": "/m"}))
    assert found["digits"].model_version_policy.WhichOneof("policy_choice") is None
    assert not found["digits"].version_labels


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"models": {}}, "`models` must name at least one"),
        ({"models": {"": "/m"}}, "`models` must have names"),
        ({"models": {"a": "/m"}, "versions": {"b": 1}}, "`versions` must name models"),
        ({"models": {"a": "/m"}, "labels": {"b": {"x": 1}}}, "`labels` must name models"),
        ({"models": {"a": "/m"}, "versions": {"a": 0}}, "`versions` of 'a' must be"),
        ({"models": {"a": "/m"}, "versions": {"a": []}}, "`versions` of 'a' must be"),
        ({"models": {"a": "/m"}, "versions": {"a": "some"}}, "`versions` of 'a' must be"),
        (
            {"models": {"a": "/m"}, "versions": {"a": [1]}, "labels": {"a": {"x": 2}}},
            "'x' is 2 and the versions are \\[1\\]",
        ),
        ({"models": {"a": "/m"}, "labels": {"a": {"x": "2"}}}, "'x' is '2'"),
    ],
)
def test_models_exception_raised(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_model_config(tmp_path / "models.config", **arguments)
    assert not list(tmp_path.iterdir())


def test_replaces_in_one_step_and_is_readable_by_others(tmp_path):
    path = tmp_path / "new" / "models.config"
    write_model_config(path, {"a": "/a"})
    write_model_config(path, {"b": "/b"})
    assert list(_models(path)) == ["b"]
    assert [p.name for p in path.parent.iterdir()] == ["models.config"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_unwritable(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ExportError, match=r"`.*file/models.config` cannot be written: .+"):
        write_model_config(tmp_path / "file" / "models.config", {"a": "/a"})


def test_batching(tmp_path, batching_parameters):
    found = batching_parameters(write_batching_parameters(tmp_path / "batching.config"))
    assert found.max_batch_size.value == 32
    assert list(found.allowed_batch_sizes) == [1, 2, 4, 8, 16, 32]
    assert not found.pad_variable_length_inputs
    assert found.HasField("batch_timeout_micros")
    for field in ("num_batch_threads", "enable_large_batch_splitting", "max_execution_batch_size"):
        assert not found.HasField(field), field


def test_batching_options(tmp_path, batching_parameters):
    found = batching_parameters(
        write_batching_parameters(
            tmp_path / "batching.config",
            max_batch_size=100,
            batch_timeout_micros=0,
            max_enqueued_batches=7,
            num_batch_threads=3,
            pad_variable_length_inputs=True,
            max_execution_batch_size=24,
        )
    )
    numbers = (found.max_batch_size, found.batch_timeout_micros, found.max_enqueued_batches)
    assert [number.value for number in numbers] == [100, 0, 7]
    assert found.HasField("batch_timeout_micros")
    assert found.num_batch_threads.value == 3
    assert found.pad_variable_length_inputs
    assert found.enable_large_batch_splitting.value
    # TensorFlow Serving wants the last to be the largest batch that it computes.
    assert found.max_execution_batch_size.value == 24
    assert list(found.allowed_batch_sizes) == [1, 2, 4, 8, 16, 24]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_batch_size": 0}, "`max_batch_size` must be at least 1, but it is 0"),
        ({"batch_timeout_micros": -1}, "`batch_timeout_micros` must be at least 0"),
        ({"num_batch_threads": 0}, "`num_batch_threads` must be at least 1"),
        ({"max_execution_batch_size": 33}, "`max_execution_batch_size` must be at most"),
        ({"allowed_batch_sizes": [1, 16]}, "end in 32"),
        ({"allowed_batch_sizes": [8, 4, 32]}, "must grow"),
        ({"allowed_batch_sizes": [0, 32]}, "from at least 1"),
    ],
)
def test_batching_exception_raised(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_batching_parameters(tmp_path / "batching.config", **arguments)


@given(st.integers(1, 5000))
def test_batch_sizes(largest):
    sizes = batch_sizes(largest)
    assert sizes[0] == 1
    assert sizes[-1] == largest
    assert all(a < b <= 2 * a for a, b in pairwise(sizes))


@given(st.text(), st.integers(-(2**63), 2**63 - 1), st.booleans())
def test_text_proto_says_what_it_was_given(text, number, boolean):
    field = {"name": text, "number": 1, "json_name": text, "proto3_optional": boolean}
    message = descriptor_pb2.DescriptorProto(name=text)
    message.field.add(**field)
    message.reserved_name.extend([text, "b"])
    uninterpreted = message.options.uninterpreted_option.add(negative_int_value=number)
    uninterpreted.name.add(name_part=text, is_extension=boolean)
    message.field[0].type = descriptor_pb2.FieldDescriptorProto.TYPE_BOOL
    option = {
        "negative_int_value": number,
        "name": [{"name_part": text, "is_extension": boolean}],
    }
    written = text_proto(
        {
            "name": text,
            "field": [{**field, "type": Name("TYPE_BOOL")}],
            "reserved_name": [text, "b"],
            "options": {"uninterpreted_option": [option]},
        }
    )
    assert text_format.Parse(written, descriptor_pb2.DescriptorProto()) == message
