"""Data of the user's own, for models of any task."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from stn_tf.cli.main import main
from stn_tf.errors import ConfigError, DataError
from stn_tf.experiments import Run, evaluate, load_experiment, train
from stn_tf.experiments.recipes import recipe_of
from stn_tf.recipe import Prepared
from stn_tf.serving.models import load_engine
from tests.experiments import own_functions

pytestmark = pytest.mark.usefixtures("without_page")

OWN = "tests.experiments.own_functions"
NAMES = ("null", "one", "two", "three")


def settings(data: str, model: str | None = None, *more: str) -> Any:
    hook = [] if model is None else [f"model={OWN}:{model}"]
    given = [f"data={OWN}:{data}", *hook, "batch_size=8", "learning_rate=0.01"]
    return load_experiment("folder", [*given, "deterministic=false", *more])


def prepared(data: str, model: str | None = None, *more: str) -> Prepared:
    config = settings(data, model, *more)
    return recipe_of(config).prepare(config)


@pytest.mark.parametrize("data", ["named", "pieces"])
def test_classes_by_name_are_evaluated(data: str, tmp_path: Path) -> None:
    report = train(settings(data, "compiled", "epochs=20"), tmp_path / "run", progress=False)
    run = Run(tmp_path / "run")
    assert (run.interface.task, run.classes) == ("classification", NAMES)
    assert (report.steps, report.test_images) == (100, 12)
    images, labels = own_functions._digits(50, 12)
    wrong = run.load_model()(images).numpy().argmax(1) != labels
    assert report.error_percent == pytest.approx(100 * wrong.mean())
    assert report.error_percent < 50
    counts = evaluate(run).confusion
    np.testing.assert_array_equal(counts.sum(axis=1), np.bincount(labels, minlength=4))
    lines = [json.loads(line) for line in run.folder.metrics.read_text().splitlines()]
    validated = any("validation_loss" in line for line in lines)
    assert validated == (data == "named")  # The other has no such part.
    if data == "pieces":
        with pytest.raises(DataError, match="has no part validation"):
            run.dataset("validation")


def test_steps_are_counted_in_batches_of_the_data() -> None:
    made = prepared("named", "compiled")
    # 40 images in batches of 8: 10 times, and measured after each time.
    assert (made.config.steps, made.config.evaluate_every) == (50, 5)
    assert "50 steps: 10 times the data (epochs=10)." in made.notes
    made = prepared("pieces", "compiled", "epochs=3")
    assert (made.config.steps, made.config.warmup_steps) == (15, 1)
    with pytest.raises(ConfigError) as caught:
        prepared("endless", "regressor")
    assert str(caught.value) == (
        f"`steps` must be given, because nothing says how long `data` {OWN}:endless is: "
        "add --set steps=1000."
    )
    assert prepared("endless", "regressor", "steps=7").config.steps == 7


def test_a_tuple_is_of_the_parts_in_order() -> None:
    made = prepared("three_datasets", "regressor", "batch_size=10")
    assert made.interface.class_names == ()
    counts = [sum(len(labels) for _, labels in made.parts(part) or ()) for part in
              ("train", "validation", "test")]  # fmt: skip
    assert counts == [40, 10, 12]
    assert next(iter(made.train))[1].shape == (10,)


def test_a_regression_is_reported_by_its_figures(tmp_path: Path) -> None:
    config = settings("brightness", "regressor", "epochs=20", "task=regression")
    report = train(config, tmp_path / "run", progress=False)
    run = Run(tmp_path / "run")
    assert (run.interface.task, run.classes) == ("regression", ())
    assert (report.error_percent, report.validation_error_percent) == (None, None)
    images, _ = own_functions._digits(50, 12)
    target = images.mean((1, 2))
    errors = run.load_model()(images).numpy() - target
    assert report.test is not None
    assert report.test["loss"] == pytest.approx(float(np.mean(errors**2)), rel=1e-4)
    assert report.test["mean_absolute_error"] == pytest.approx(
        float(np.mean(np.abs(errors))), rel=1e-4
    )
    lines = [json.loads(line) for line in run.folder.metrics.read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < 0.5 * losses[0]
    with pytest.raises(DataError, match="has no classes to evaluate: its task is regression"):
        evaluate(run)
    result = CliRunner().invoke(main, ["evaluate", str(run.path), "--json"])
    assert json.loads(result.stdout) == pytest.approx(report.test, rel=1e-5)
    result = CliRunner().invoke(main, ["evaluate", str(run.path), "--split", "validation"])
    assert result.stdout.startswith("Validation: loss 0.0")
    assert not (run.path / "confusion.png").exists()


def test_a_range_can_be_said_before_training_and_after(tmp_path: Path) -> None:
    made = prepared("brightness", "regressor", "value_range=[0.0, 255.0]")
    assert made.interface.image.value_range == (0.0, 255.0)
    made = prepared("brightness", "regressor")
    assert made.interface.inputs[0].value_range is None
    assert "is unknown: once exported, the model takes arrays" in "\n".join(made.notes)

    train(settings("brightness", "regressor", "epochs=1"), tmp_path / "run", progress=False)
    given = ["export", str(tmp_path / "run"), "--out", str(tmp_path / "model")]
    declared = ["--input-range", "0", "1", "--input-mean", "0.5", "--input-std", "0.25"]
    result = CliRunner().invoke(main, [*given, *declared])
    assert result.exit_code == 0, result.output
    found = load_engine(tmp_path / "model").input
    assert (found.value_range, found.mean, found.std) == ((0.0, 1.0), (0.5,), (0.25,))


def test_several_inputs(tmp_path: Path) -> None:
    report = train(settings("halves", "of_halves", "epochs=20"), tmp_path / "run", progress=False)
    run = Run(tmp_path / "run")
    assert {spec.name: spec.shape for spec in run.interface.inputs} == {
        "upper": (None, 4, 8, 1),
        "lower": (None, 4, 8, 1),
    }
    images, labels = own_functions._digits(50, 12)
    logits = run.load_model()({"upper": images[:, :4], "lower": images[:, 4:]}).numpy()
    assert report.error_percent == pytest.approx(100 * np.mean(logits.argmax(1) != labels))
    assert report.error_percent < 50


@pytest.mark.parametrize(("data", "width"), [("larger", ()), ("one_hot", (4,))])
def test_a_network_of_ours_on_the_users_batches(data: str, width: tuple[int, ...]) -> None:
    if data == "one_hot":
        with pytest.raises(ConfigError, match="`image_size` must be at least 16 x 16"):
            prepared(data, None, "backbone=small").build()
        return
    made = prepared(data, None, "backbone=small", "weights=none")
    assert (made.config.image_size, made.config.channels) == ((16, 16), 1)
    assert made.loss.name == "sparse_categorical_crossentropy"
    assert "Images are taken to be in 0..1, as our models take them." in made.notes
    model = made.build()
    assert (model.input_shape, model.output_shape) == ((None, 16, 16, 1), (None, 4))


@pytest.mark.parametrize(
    ("data", "model", "message"),
    [
        (
            "misnamed",
            "compiled",
            "must return a mapping of train and, where there are any, validation, test and "
            "class_names, or up to three datasets in this order, but it has 'training'.",
        ),
        (
            "four_datasets",
            "compiled",
            "must return a mapping of train and, where there are any, validation, test and "
            "class_names, or up to three datasets in this order, but it has 4 of them.",
        ),
        (
            "endless",
            None,
            "must return class_names too, because the model is one of ours. Return a mapping, or "
            "give a model=package.module:function.",
        ),
    ],
)
def test_wrong_data_exception_raised(data: str, model: str | None, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        prepared(data, model)
    assert str(caught.value) == f"`data` {OWN}:{data} {message}"


def test_outputs_that_are_not_the_classes_exception_raised() -> None:
    with pytest.raises(ConfigError) as caught:
        prepared("named", "too_many_outputs")
    assert str(caught.value) == (
        f"`model` {OWN}:too_many_outputs must give a number for each of the 4 classes of `data`, "
        "but it gives [?, 5]."
    )


def test_a_model_without_a_loss_exception_raised(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`loss` is None, and the model was not compiled"):
        train(settings("named", "linear"), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
