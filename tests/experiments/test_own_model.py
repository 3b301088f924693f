"""Models of the user's own on folders of images."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from stn_tf.errors import ConfigError
from stn_tf.experiments import Run, evaluate, load_experiment, train
from stn_tf.experiments.recipes import recipe_of
from stn_tf.interface import InputSpec, ModelInterface
from stn_tf.recipe import Prepared

pytestmark = pytest.mark.usefixtures("without_page")

OWN = "tests.experiments.own_functions"


@pytest.fixture(scope="module")
def two_classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noughts and ones, which a few steps tell apart."""
    root = tmp_path_factory.mktemp("data")
    found = load_digits(n_class=2)
    for label, name in enumerate(("null", "one")):
        (root / name).mkdir()
        for number, image in enumerate(found.images[found.target == label][:20]):
            grey = Image.fromarray((image * 255 / 16).round().astype(np.uint8))
            grey.save(root / name / f"{number}.png")
    return root


def settings(function: str, data_dir: Path, *more: str) -> Any:
    return load_experiment(
        "folder",
        [
            f"model={OWN}:{function}",
            f"data_dir={data_dir}",
            "image_size=8",
            "batch_size=8",
            "steps=20",
            "learning_rate=0.05",
            "augment=none",
            "deterministic=false",
            *more,
        ],
    )


def prepared(function: str, data_dir: Path, *more: str) -> Prepared:
    config = settings(function, data_dir, *more)
    return recipe_of(config).prepare(config)


@pytest.mark.parametrize(
    ("function", "meaning", "loss"),
    [
        ("linear", "logits", "categorical_crossentropy"),
        ("softmax", "probabilities", "categorical_crossentropy"),
        ("subclassed", "logits", "categorical_crossentropy"),
        ("compiled", "logits", None),
        ("compiled_by_name", "probabilities", None),
    ],
)
def test_what_is_decided_of_a_model(
    function: str, meaning: str, loss: str | None, digits: Path
) -> None:
    made = prepared(function, digits)
    interface = made.interface
    assert (interface.task, interface.class_names) == ("classification", ("null", "one", "two"))
    (image,), (output,) = interface.inputs, interface.outputs
    assert (image.shape, image.layout) == ((None, 8, 8, 1), "NHWC")
    assert (image.color_space, image.value_range) == ("grayscale", (0.0, 1.0))
    assert (output.meaning, output.shape) == (meaning, (None, 3))
    notes = "\n".join(made.notes)
    assert f"The model's outputs are taken for {meaning} (by its last activation)" in notes
    assert "black and white for 0 and 1 (value_range=[0, 1])" in notes
    if loss is None:
        assert (made.loss, made.metrics) == (None, ())
        assert "Labels are given as numbers of classes, by the name of the model's own" in notes
    else:
        assert (made.loss.name, made.loss.label_smoothing) == (loss, 0.1)
        assert f"The loss is {loss} (compile the model to have another)." in notes
        assert [metric.name for metric in made.metrics] == ["error_percent"]
    # Labels as the loss wants them.
    _, labels = next(iter(made.train.batches(0, replicas=1, replica_ids=(0,))))
    assert labels.shape == ((8, 3) if loss else (8,))


@pytest.mark.parametrize("function", ["one_number", "one_probability"])
def test_one_number_tells_two_classes_apart(
    function: str, two_classes: Path, tmp_path: Path
) -> None:
    config = settings(function, two_classes)
    report = train(config, tmp_path / "run", progress=False)
    run = Run(tmp_path / "run")
    assert (run.interface.task, run.classes) == ("binary", ("null", "one"))
    assert (report.error_percent, report.test_images) == (0.0, 8)
    counts = evaluate(run).confusion
    np.testing.assert_array_equal(counts, [[4, 0], [0, 4]])


def test_a_compiled_model_learns_by_its_own_loss(digits: Path, tmp_path: Path) -> None:
    report = train(settings("compiled", digits), tmp_path / "run", progress=False)
    run = Run(tmp_path / "run")
    lines = [json.loads(line) for line in run.folder.metrics.read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < 0.5 * losses[0]
    assert "validation_accuracy" in lines[-1]
    images, labels = run.examples("test")
    logits = run.load_model()(images).numpy()
    assert report.error_percent == pytest.approx(100 * np.mean(logits.argmax(1) != labels))


def test_a_range_of_bytes_is_the_same_while_training_and_after(
    digits: Path, tmp_path: Path
) -> None:
    made = prepared("of_bytes", digits, "value_range=[0.0, 255.0]")
    assert made.interface.image.value_range == (0.0, 255.0)
    images, _ = next(iter(made.train.batches(0, replicas=1, replica_ids=(0,))))
    assert images.numpy().max() == pytest.approx(255.0)
    files = [np.asarray(Image.open(path), np.float32) for path in digits.rglob("*.png")]
    seen = {image.tobytes() for image in np.rint(images.numpy()[..., 0])}
    assert seen <= {file.tobytes() for file in files}
    evaluated, _ = next(iter(made.parts("test") or []))
    assert {image.tobytes() for image in np.rint(evaluated.numpy()[..., 0])} <= {
        file.tobytes() for file in files
    }


def test_bytes(digits: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`value_range` must be \[0\.0, 255\.0\], because"):
        prepared("of_uint8", digits)
    config = settings("of_uint8", digits, "value_range=[0.0, 255.0]")
    report = train(config, tmp_path / "run", progress=False)
    run = Run(tmp_path / "run")
    assert run.interface.image.dtype == "uint8"
    images, labels = run.examples("test")
    assert images.dtype == np.uint8
    assert images.max() > 200
    wrong = run.load_model()(images).numpy().argmax(1) != labels
    assert report.error_percent == pytest.approx(100 * wrong.mean())


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            "of_24_pixels",
            "must take one batch of images [?, 8, 8, 1], but it takes [?, 24, 24, 3]. Set "
            "image_size and channels to what it takes.",
        ),
        (
            "too_many_outputs",
            "must give a number for each of the 3 classes, [?, 3], but it gives [?, 4]. For other "
            "tasks give your data too: data=package.module:function.",
        ),
        (
            "two_outputs",
            "must give a number for each of the 3 classes, [?, 3], but it gives [?, 3], [?, 1]. "
            "For other tasks give your data too: data=package.module:function.",
        ),
        (
            "one_number",
            "must give a number for each of the 3 classes, [?, 3], but it gives [?, 1]. For other "
            "tasks give your data too: data=package.module:function.",
        ),
        ("not_a_model", "must return a keras.Model, but it returned a int."),
        (
            "not_built",
            "must return a model that knows its inputs, but it is not built. Call it once, or "
            "make it of keras.Input.",
        ),
    ],
)
def test_a_wrong_model_exception_raised(function: str, message: str, digits: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        prepared(function, digits)
    assert str(caught.value) == f"`model` {OWN}:{function} {message}"


def test_a_name_of_no_model_exception_raised(digits: Path) -> None:
    config = settings("linear", digits, "model=resnet")
    with pytest.raises(
        ConfigError, match=r"`model` must be classifier, or package.module:function"
    ):
        recipe_of(config).prepare(config)


def test_a_run_goes_on_whatever_keras_calls_its_layers(digits: Path, tmp_path: Path) -> None:
    """Keras numbers layers and tensors without a name, further in each model of a process."""
    config = settings("linear", digits, "steps=4")
    train(config, tmp_path / "run", progress=False)
    names = Run(tmp_path / "run").interface
    again = settings("linear", digits, "steps=6")
    report = train(again, tmp_path / "run", resume=True, progress=False)
    assert report.steps == 6
    assert _without_names(Run(tmp_path / "run").interface) == _without_names(names)


def _without_names(interface: ModelInterface) -> list[dict[str, Any]]:
    specs: list[InputSpec | Any] = [*interface.inputs, *interface.outputs]
    return [spec.model_copy(update={"name": ""}).model_dump() for spec in specs]
