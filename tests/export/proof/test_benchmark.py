"""What `stn-tf benchmark` measures: every file in every runtime, and the errors of each."""

import json
import shutil

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from PIL import Image

from stn_tf.cli.main import main
from stn_tf.errors import DataError, ExportError
from stn_tf.export import read_manifest
from stn_tf.export.proof.benchmark import benchmark, labelled_images


def test_every_file_in_every_runtime(exported, images):
    truth = np.argmax(exported.model(images), axis=-1)
    labels = np.where(np.arange(10) < 3, (truth + 1) % 4, truth)
    found = {
        one.name: one
        for one in benchmark(
            exported.version_dir, batches=(1, 3), seconds=0.01, examples=(images, labels)
        )
    }
    assert set(found) == {"saved_model", "onnx_runtime", "onnx_runtime/ours", "openvino"}
    refused = found.pop("openvino")
    assert "OpenVINO refuses" in refused.refused
    assert not refused.milliseconds
    for one in found.values():
        # Three of ten labels are wrong.
        assert one.error_percent == pytest.approx(30.0)
        assert set(one.milliseconds) == set(one.slowest) == {1, 3}
        assert all(0 < one.milliseconds[batch] <= one.slowest[batch] for batch in (1, 3))
        assert one.largest_difference < 1e-4
        assert one.megabytes > 0.001
        assert one.where.startswith("CPU")
    # Each has times of its own.
    assert len({json.dumps(dict(one.milliseconds)) for one in found.values()}) == 3


def test_less_precision_differs_more(exported):
    found = {
        one.name: one
        for one in benchmark(
            exported.version_dir,
            runtimes=["onnxruntime"],
            batches=(2,),
            precisions=("float16", "int8"),
            seconds=0.01,
        )
    }
    differences = [
        found[f"onnx_runtime/ours{ending}"].largest_difference
        for ending in ("", " float16", " int8")
    ]
    assert differences == sorted(differences)
    assert differences[0] < 1e-5 < differences[1]


def test_a_difference_is_seen(exported, tmp_path):
    version = shutil.copytree(exported.version_dir, tmp_path / "1")
    file = onnx.load(version / "model.onnx")
    (last,) = [node for node in file.graph.node if "logits" in node.output]
    last.output[0] = "before"
    file.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(0.25), "quarter"))
    file.graph.node.append(onnx.helper.make_node("Add", ["before", "quarter"], ["logits"]))
    onnx.save(file, version / "model.onnx")
    found = benchmark(version, runtimes=["onnxruntime"], batches=(1,), seconds=0.01)
    for one in found:
        assert one.largest_difference == pytest.approx(0.25, abs=1e-4)


def test_test_images_in_folders_of_classes(exported, tmp_path):
    interface = read_manifest(exported.version_dir).interface
    pixels = np.random.default_rng(0).integers(0, 256, (2, 14, 12), np.uint8)
    for name, picture in zip(("bee", "dög"), pixels, strict=True):
        (tmp_path / name).mkdir()
        Image.fromarray(picture).save(tmp_path / name / "a.png")
    images, labels = labelled_images(interface, tmp_path, 10)
    np.testing.assert_array_equal(labels, [1, 3])
    np.testing.assert_allclose(images[..., 0], pixels / 255.0, atol=1e-6)
    assert len(labelled_images(interface, tmp_path, 1)[0]) == 1
    with pytest.raises(DataError, match="must have a sub-folder of images for each class"):
        labelled_images(interface, tmp_path / "bee", 10)


def test_a_runtime_that_was_asked_for(exported):
    with pytest.raises(ExportError, match=r"`runtime` litert runs model\.tflite"):
        benchmark(exported.version_dir, runtimes=["litert"])


def test_threads_of_tensorflow_are_never_ignored(exported, monkeypatch):
    """TensorFlow has started in this process: with other threads it cannot go on."""
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    (one,) = benchmark(
        exported.version_dir, runtimes=["tensorflow"], batches=(1,), threads=1, seconds=0.01
    )
    assert "`threads` must be set before TensorFlow starts" in one.refused


def test_the_command(exported, tmp_path):
    folder = str(exported.version_dir)
    quick = ["--runtime", "onnxruntime", "--seconds", "0.01", "--batch", "2"]
    done = CliRunner().invoke(
        main, ["benchmark", folder, *quick, "--output", str(tmp_path / "found.json")]
    )
    assert done.exit_code == 0, done.output
    assert "with our library" in done.stdout
    assert "give test images with --images or --run" in done.stdout
    names = [one["name"] for one in json.loads((tmp_path / "found.json").read_text())]
    assert names == ["onnx_runtime", "onnx_runtime/ours"]
    both = CliRunner().invoke(main, ["benchmark", folder, "--images", folder, "--run", folder])
    assert both.exit_code == 2
    assert "--images and --run name different test images" in both.output
