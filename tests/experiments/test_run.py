import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.util import event_pb2

import stn_tf
from stn_tf.errors import RunError
from stn_tf.experiments import Run, evaluate, load_experiment, train
from stn_tf.experiments.evaluation import Evaluation
from stn_tf.experiments.report import weights_sha256


def test_loss_falls(tiny_run):
    lines = [json.loads(line) for line in tiny_run.folder.metrics.read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) == tiny_run.config.steps
    assert losses[0] == pytest.approx(np.log(10), abs=0.5)
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])


def test_metrics_preset(tiny_run):
    lines = [json.loads(line) for line in tiny_run.folder.metrics.read_text().splitlines()]
    steps = [line["step"] for line in lines]
    assert steps == sorted(steps)
    figures = {"step", "loss", "error_percent", "learning_rate", "images_per_second", "input_wait"}
    assert set(lines[0]) == figures
    validations = {
        line["step"]: line["validation_error_percent"]
        for line in lines
        if "validation_error_percent" in line
    }
    assert list(validations) == [30, 60]
    # The paper's runs report their last weights.
    assert tiny_run.report["chosen_step"] == 60
    # While training, in float32.
    reported = tiny_run.report["validation_error_percent"]
    assert validations[60] == pytest.approx(reported, rel=1e-6)


def test_report_preset(tiny_run):
    report = tiny_run.report
    assert (report["experiment"], report["model"]) == ("digits-r", "st-fcn-affine")
    assert (report["steps"], report["seed"], report["replicas"]) == (60, 0, 1)
    model = tiny_run.load_model()
    assert report["parameters"] == sum(int(np.prod(w.shape)) for w in model.get_weights())
    assert report["weights_sha256"] == weights_sha256(model)
    assert report["seconds"] > 0
    assert report["images_per_second"] > 0
    assert 0 <= report["input_wait"] < 1
    assert (report["test_images"], report["test"], report["skipped_steps"]) == (359, None, 0)
    assert set(report["versions"]) == {"python", "tensorflow", "keras", "numpy", "stn_tf"}
    assert report["versions"]["stn_tf"] == stn_tf.__version__


def test_config_repeats_the_run(tiny_run):
    assert load_experiment(tiny_run.folder.config) == tiny_run.config


def test_examples_are_fixed_and_give_the_reported_error(tiny_run):
    images, labels = tiny_run.examples("test")
    assert (images.dtype, labels.dtype) == (np.float32, np.int32)
    shape = tiny_run.interface.inputs[0].shape[1:]
    assert images.shape == (len(labels), *shape)
    some, some_labels = tiny_run.examples("test", 7)
    np.testing.assert_array_equal(some, images[:7])
    np.testing.assert_array_equal(some_labels, labels[:7])
    assert tiny_run.examples("validation", 0)[0].shape == (
        0,
        *tiny_run.interface.inputs[0].shape[1:],
    )

    logits = tiny_run.load_model()(images, training=False).numpy()
    wrong = 100.0 * np.mean(logits.argmax(-1) != labels)
    assert wrong == pytest.approx(tiny_run.report["error_percent"], abs=1e-9)


def test_examples_of_an_unknown_split_exception_raised(tiny_run):
    with pytest.raises(ValueError, match=r"`split` must be train, validation or test, but it is"):
        tiny_run.examples("tset")


def test_classes_need_no_data(tiny_run):
    assert tiny_run.classes == tuple("0123456789")
    assert "prepared" not in vars(Run(tiny_run.path))


def test_evaluate_agrees_with_the_report(tiny_run):
    evaluation = evaluate(tiny_run)
    assert evaluation.error_percent == tiny_run.report["error_percent"]
    _, labels = tiny_run.examples("test")
    np.testing.assert_array_equal(evaluation.confusion.sum(axis=1), np.bincount(labels))


def test_per_class_preset():
    confusion = np.array([[8, 2, 0], [0, 5, 0], [3, 1, 0]])
    rows = Evaluation(100 * 6 / 19, confusion, ("a", "b", "c")).per_class
    assert [row.images for row in rows] == [10, 5, 4]
    assert [row.error_percent for row in rows] == [20.0, 0.0, 100.0]
    np.testing.assert_allclose([row.precision_percent for row in rows], [800 / 11, 500 / 8, 0])
    assert [row.taken_for for row in rows] == ["b", None, "a"]


def test_tensorboard_has_scalars_and_straightened_crops(tiny_run):
    seen: dict[str, set[int]] = {}
    pictures = {}
    for path in (tiny_run.path / "tensorboard").iterdir():
        for record in tf.data.TFRecordDataset(str(path)):
            event = event_pb2.Event.FromString(record.numpy())
            for value in event.summary.value:
                seen.setdefault(value.tag, set()).add(event.step)
                pictures[value.tag] = value.tensor.string_val
    assert seen["loss"] == set(range(1, 61))
    assert seen["validation_error_percent"] == {30, 60}
    for tag in ("images", "crops_1"):
        assert seen[tag] == {30, 60}
        width, height, *files = pictures[tag]
        assert (width, height, len(files)) == (b"28", b"28", 8)
        assert tf.io.decode_png(files[0]).shape[:2] == (28, 28)


def test_no_run_exception_raised(tmp_path):
    with pytest.raises(RunError, match="is no run folder: there is no such folder"):
        Run(tmp_path / "none")
    with pytest.raises(RunError, match=r"holds no run: it has no config\.toml"):
        Run(tmp_path)


def test_run_without_checkpoint_exception_raised(tiny_run, tmp_path):
    (tmp_path / "config.toml").write_text(tiny_run.config.to_toml())
    with pytest.raises(RunError, match=r"network\.json` cannot be read"):
        Run(tmp_path)
    (tmp_path / "network.json").write_bytes(tiny_run.folder.network.read_bytes())
    run = Run(tmp_path)
    assert run.report is None
    with pytest.raises(RunError, match="holds no checkpoint yet"):
        run.load_model()
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(RunError, match=r"report\.json` is not a run's report"):
        assert run.report


@pytest.mark.slow
@pytest.mark.usefixtures("without_page")
@pytest.mark.parametrize(
    ("setting", "model"),
    [
        ("mixed_precision=float16", "st-fcn-affine"),
        ("mixed_precision=bfloat16", "st-fcn-affine"),
        ("xla=true", "fcn"),
    ],
)
def test_precision_and_xla_settings_train(tmp_path, setting, model):
    tiny = ["steps=12", "batch_size=16", "log_every=1", "deterministic=false", "warmup_steps=0"]
    config = load_experiment("digits-r", [*tiny, setting, f"model={model}"])
    report = train(config, tmp_path / "run", progress=False)
    run = Run(tmp_path / "run")
    lines = [json.loads(line) for line in run.folder.metrics.read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    # Whatever it was trained in, what is reported is what the float32 network does.
    model = run.load_model()
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert model.compute_dtype == "float32"
    assert evaluate(run).error_percent == report.error_percent
