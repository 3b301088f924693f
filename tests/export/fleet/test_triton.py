"""Triton model repositories, read back with Triton's own messages."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from google.protobuf import text_format
from onnx import TensorProto, helper
from tritonclient.grpc import model_config_pb2

from stn_tf.errors import ExportError, ModelError
from stn_tf.export.fleet.triton import write_model_repository
from tests.serving import handmade

KIND = model_config_pb2.DataType.Value


def write_version(folder: Path, images=("batch", 5, 4, 1), dtype=TensorProto.FLOAT) -> Path:
    """A version directory with an ONNX file: the flat images as logits, and the largest one."""
    nodes = [
        helper.make_node("Flatten", ["images"], ["logits"]),
        helper.make_node("ArgMax", ["logits"], ["class"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "unit",
        [helper.make_tensor_value_info("images", dtype, images)],
        [
            helper.make_tensor_value_info("logits", dtype, (images[0], 20)),
            helper.make_tensor_value_info("class", TensorProto.INT64, (images[0],)),
        ],
    )
    folder.mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, folder / "model.onnx")
    return folder


def config(folder: Path) -> model_config_pb2.ModelConfig:
    text = (folder / "config.pbtxt").read_text("utf-8")
    found = text_format.Parse(text, model_config_pb2.ModelConfig())
    _assert_valid(found)
    return found


def _assert_valid(found: model_config_pb2.ModelConfig) -> None:
    """What Triton's ValidateModelConfig and ValidateIOShape ask of a configuration."""
    assert found.name
    assert found.backend == "onnxruntime"
    assert found.max_batch_size > 0
    for tensor in (*found.input, *found.output):
        assert tensor.name
        assert tensor.data_type != KIND("TYPE_INVALID")
        assert tensor.dims
        assert all(dim >= 1 or dim == -1 for dim in tensor.dims)
        if tensor.HasField("reshape"):
            assert np.prod(tensor.reshape.shape, dtype=int) == np.prod(tensor.dims)
    for size in found.dynamic_batching.preferred_batch_size:
        assert 0 < size <= found.max_batch_size
    inputs = {tensor.name: tensor for tensor in found.input}
    for warmup in found.model_warmup:
        assert 0 < warmup.batch_size <= found.max_batch_size
        assert set(warmup.inputs) == set(inputs)
        for name, value in warmup.inputs.items():
            assert value.WhichOneof("input_data_type") == "zero_data"
            assert value.data_type == inputs[name].data_type
            assert list(value.dims) == list(inputs[name].dims)
            assert -1 not in value.dims


def test_export(exported, tmp_path):
    version = write_model_repository(exported.version_dir, tmp_path / "repository")
    assert version == tmp_path / "repository" / "small" / "1"
    found = config(version.parent)
    assert found.name == "small"
    source = onnx.load(exported.version_dir / "model.onnx")
    session = onnxruntime.InferenceSession(
        version / "model.onnx", providers=["CPUExecutionProvider"]
    )
    assert [t.name for t in found.input] == [value.name for value in session.get_inputs()]
    assert [t.name for t in found.output] == [value.name for value in source.graph.output]
    answers = session.run(None, {"images": np.zeros((3, *found.input[0].dims), np.float32)})
    types = {"float32": "TYPE_FP32", "int64": "TYPE_INT64"}
    for tensor, answer in zip(found.output, answers, strict=True):
        assert tensor.data_type == KIND(types[answer.dtype.name])
        backend = tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims
        assert answer.shape == (3, *backend), tensor.name
    labelled = {t.name: t.label_filename for t in found.output if t.label_filename}
    assert labelled == {"logits": "labels.txt", "probabilities": "labels.txt"}
    labels = (version.parent / "labels.txt").read_text("utf-8").splitlines()
    assert labels == ["ant", "bee", "cat", "dög"]


def test_defaults(tmp_path):
    version = write_model_repository(write_version(tmp_path / "digits" / "7"), tmp_path / "out")
    found = config(version.parent)
    assert (found.name, found.max_batch_size) == ("digits", 32)
    assert list(found.input[0].dims) == [5, 4, 1]
    assert list(found.dynamic_batching.preferred_batch_size) == [8, 16, 32]
    assert found.dynamic_batching.max_queue_delay_microseconds == 1000
    assert [warmup.batch_size for warmup in found.model_warmup] == [1, 32]
    assert [(group.count, group.kind) for group in found.instance_group] == [(1, 0)]
    assert not found.model_operations.op_library_filename
    assert {path.name for path in version.parent.iterdir()} == {"1", "config.pbtxt"}
    # A single number for each image: Triton refuses empty `dims`.
    (single,) = (tensor for tensor in found.output if tensor.name == "class")
    assert list(single.dims) == [1]
    assert single.HasField("reshape")
    assert not single.reshape.shape


def test_options(tmp_path):
    version = write_model_repository(
        write_version(tmp_path / "digits" / "1", (None, 5, 4, 1), TensorProto.FLOAT16),
        tmp_path / "out",
        name="other-1.0",
        max_batch_size=24,
        queue_delay_microseconds=0,
        instances=3,
        op_library='/opt/"quoted" ä.so',
    )
    found = config(version.parent)
    assert version == tmp_path / "out" / "other-1.0" / "1"
    assert found.name == "other-1.0"
    assert list(found.dynamic_batching.preferred_batch_size) == [8, 16, 24]
    assert found.dynamic_batching.max_queue_delay_microseconds == 0
    assert found.instance_group[0].count == 3
    assert list(found.model_operations.op_library_filename) == ['/opt/"quoted" ä.so']
    assert found.input[0].data_type == KIND("TYPE_FP16")


def test_labels_go_to_outputs_by_their_meaning(tmp_path):
    """The logits of this model are called `class`, its probabilities `shares`."""
    model = handmade.softmax(tmp_path / "digits" / "1", handmade.RGB)
    folder = write_model_repository(model.path, tmp_path / "out").parent
    labels = {output.name: output.label_filename for output in config(folder).output}
    assert labels == {"class": "labels.txt", "shares": "labels.txt", "index": ""}
    assert (folder / "labels.txt").read_text("utf-8") == "ant\nbee\ndög\n"
    model = handmade.regression(tmp_path / "poses" / "1")
    with pytest.raises(ModelError, match="`temperature` must have the batch as its first"):
        write_model_repository(model.path, tmp_path / "out")
    model = handmade.dense(tmp_path / "maps" / "1")
    found = config(write_model_repository(model.path, tmp_path / "out").parent)
    assert list(found.input[0].dims) == [-1, -1, 3]
    assert list(found.output[0].dims) == [-1, -1, 2]


def test_batches_of_one_are_not_waited_for(tmp_path):
    version = write_version(tmp_path / "digits" / "1")
    found = config(write_model_repository(version, tmp_path / "out", max_batch_size=1).parent)
    assert not found.HasField("dynamic_batching")
    assert [warmup.batch_size for warmup in found.model_warmup] == [1]


def test_images_of_any_size_are_not_warmed_up(tmp_path):
    version = write_version(tmp_path / "digits" / "1", ("batch", "height", None, 1))
    found = config(write_model_repository(version, tmp_path / "out").parent)
    assert list(found.input[0].dims) == [-1, -1, 1]
    assert not found.model_warmup


def test_next_version(tmp_path):
    version = write_version(tmp_path / "digits" / "1")
    first = write_model_repository(version, tmp_path / "out")
    second = write_model_repository(version, tmp_path / "out")
    assert (first.name, second.name) == ("1", "2")
    assert {path.name for path in first.parent.iterdir()} == {"1", "2", "config.pbtxt"}


def test_other_configuration_is_kept(tmp_path):
    version = write_version(tmp_path / "digits" / "1")
    folder = write_model_repository(version, tmp_path / "out").parent
    before = (folder / "config.pbtxt").read_bytes()
    with pytest.raises(ExportError, match=r"`.*config.pbtxt` is there already and differs"):
        write_model_repository(version, tmp_path / "out", max_batch_size=4)
    assert (folder / "config.pbtxt").read_bytes() == before
    assert {path.name for path in folder.iterdir()} == {"1", "config.pbtxt"}
    write_model_repository(version, tmp_path / "out", max_batch_size=4, overwrite=True)
    assert config(folder).max_batch_size == 4
    assert (folder / "2" / "model.onnx").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_batch_size": 0}, "`max_batch_size` must be at least 1, but it is 0"),
        ({"queue_delay_microseconds": -1}, "`queue_delay_microseconds` must be at least 0"),
        ({"instances": 0}, "`instances` must be at least 1"),
        ({"name": "a/b"}, "`name` must be of letters"),
        ({"name": ".hidden"}, "`name` must be of letters"),
        ({"name": ""}, "`name` must be of letters"),
    ],
)
def test_exception_raised(arguments, message, tmp_path):
    version = write_version(tmp_path / "digits" / "1")
    with pytest.raises(ValueError, match=message):
        write_model_repository(version, tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", ["missing", "truncated", "other"])
def test_no_onnx_file(damage, tmp_path):
    path = write_version(tmp_path / "digits" / "1") / "model.onnx"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-9] if damage == "truncated" else b"")
    with pytest.raises(ModelError, match=r"`.*model.onnx` (cannot be read|must be an ONNX file)"):
        write_model_repository(path.parent, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_fixed_batch_exception_raised(tmp_path):
    version = write_version(tmp_path / "digits" / "1", (2, 5, 4, 1))
    with pytest.raises(ModelError, match=r"`images` must have the batch as its first dimension"):
        write_model_repository(version, tmp_path / "out")


def test_unwritable(tmp_path):
    version = write_version(tmp_path / "digits" / "1")
    (tmp_path / "out").touch()
    with pytest.raises(ExportError, match="cannot be written"):
        write_model_repository(version, tmp_path / "out")
