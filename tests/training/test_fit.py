"""What `fit` takes, gives and leaves behind."""

import ast
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from stn_tf.errors import ConfigError, DataError, RunError
from stn_tf.training import fit
from stn_tf.training.checkpoint import load_weights


def _lines(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def _accuracy(model, digits):
    predicted = model(digits.validation_x, training=False).numpy().argmax(axis=1)
    return float(np.mean(predicted == digits.validation_y))


def test_it_learns_digits_and_writes_what_it_did(tmp_path, digits, looking_network, config, loss):
    shown = []
    settings = config(steps=120, evaluate_every=40, checkpoint_every=50, log_every=10)
    result = fit(
        looking_network,
        digits.by_step(32),
        digits.validation,
        settings,
        loss=loss,
        metrics=["accuracy"],
        out=tmp_path,
        progress=False,
        on_evaluation=lambda step, model: shown.append((step, _accuracy(model, digits))),
    )
    assert result.value > 0.8
    assert result.monitor == "accuracy"
    assert (result.steps, result.replicas, result.skipped_steps) == (120, 1, 0)
    assert [row["step"] for row in result.history] == [40, 80, 120]
    # The figures are of all examples, each once, whatever the sizes of the batches.
    measured = {row["step"]: row["accuracy"] for row in result.history}
    assert dict(shown) == pytest.approx(measured, rel=1e-6)
    assert result.value == max(measured.values())
    assert measured[result.chosen_step] == result.value
    assert _accuracy(result.model, digits) == pytest.approx(result.value, rel=1e-6)
    logits = result.model(digits.validation_x, training=False).numpy().astype(np.float64)
    likelihood = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = -likelihood[np.arange(len(logits)), digits.validation_y].mean()
    row = next(row for row in result.history if row["step"] == result.chosen_step)
    assert row["loss"] == pytest.approx(expected, rel=1e-5)

    lines = _lines(tmp_path)
    training = [line for line in lines if "loss" in line]
    assert [line["step"] for line in training] == [1, *range(10, 121, 10)]
    figures = {"step", "loss", "accuracy", "learning_rate", "images_per_second", "input_wait"}
    assert set(training[-1]) == figures
    assert training[-1]["loss"] < 0.5 < 2 < training[0]["loss"]
    assert 0 < training[-1]["input_wait"] < 1
    assert training[-1]["images_per_second"] > 0
    evaluations = {line["step"]: line for line in lines if "validation_loss" in line}
    assert evaluations[40]["validation_accuracy"] == measured[40]
    assert list(tmp_path.glob("tensorboard/events*"))


def test_nothing_is_written_without_a_folder(tmp_path, monkeypatch, digits, linear, config, loss):
    monkeypatch.chdir(tmp_path)
    settings = config(steps=40, evaluate_every=10, learning_rate=0.3, optimizer="sgd")
    # Its learning rate is far too high, so that the best evaluation is seldom the last.
    settings = settings.model_copy(update={"learning_rate": 8.0, "warmup_steps": 25})
    result = fit(
        linear,
        digits.by_step(),
        digits.validation,
        settings,
        loss=loss,
        metrics=["accuracy"],
        progress=False,
    )
    assert list(tmp_path.iterdir()) == []
    assert _accuracy(result.model, digits) == pytest.approx(result.value, rel=1e-6)
    assert result.value == max(row["accuracy"] for row in result.history)


def test_several_inputs_and_outputs_with_weights_and_losses_of_their_own(tmp_path, digits, config):
    """Against float64: a step of gradient descent, and the figures of it."""
    rng = np.random.default_rng(1)
    left, right = (rng.normal(size=(7, 3)).astype(np.float32) for _ in range(2))
    y = {"sum": rng.normal(size=(7, 1)).astype(np.float32), "kind": np.arange(7) % 2}
    weights = {"sum": np.arange(7, dtype=np.float32), "kind": np.ones(7, np.float32)}
    inputs = {"left": keras.Input((3,), name="left"), "right": keras.Input((3,), name="right")}
    both = keras.layers.Concatenate()([inputs["left"], inputs["right"]])
    regularizer = keras.regularizers.L2(0.1)
    outputs = {
        "sum": keras.layers.Dense(1, use_bias=False, kernel_regularizer=regularizer, name="a")(
            both
        ),
        "kind": keras.layers.Dense(2, use_bias=False, activation="softmax", name="b")(both),
    }
    model = keras.Model(inputs, outputs)
    kernels = [model.get_layer(name).kernel for name in ("a", "b")]
    sum_kernel, kind_kernel = (kernel.numpy().astype(np.float64) for kernel in kernels)
    data = tf.data.Dataset.from_tensors(({"left": left, "right": right}, y, weights))
    result = fit(
        model,
        data,
        data,
        config(
            steps=1,
            optimizer="sgd",
            learning_rate=0.5,
            learning_rate_schedule="constant",
            monitor="kind_loss",
        ),
        loss={"sum": "mse", "kind": "sparse_categorical_crossentropy"},
        metrics={"kind": ["accuracy"], "sum": [keras.metrics.MeanAbsoluteError(name="off")]},
        out=tmp_path,
        progress=False,
    )
    x = np.concatenate([left, right], axis=1).astype(np.float64)
    off = x @ sum_kernel - y["sum"]
    weighted = weights["sum"][:, None] * off
    sum_loss = (weighted * off).mean()
    scores = np.exp(x @ kind_kernel)
    shares = scores / scores.sum(axis=1, keepdims=True)
    kind_loss = -np.log(shares[np.arange(7), y["kind"]]).mean()
    line = _lines(tmp_path)[0]
    assert line["sum_loss"] == pytest.approx(sum_loss, rel=1e-5)
    assert line["kind_loss"] == pytest.approx(kind_loss, rel=1e-5)
    penalty = 0.1 * (sum_kernel**2).sum()
    assert line["loss"] == pytest.approx(sum_loss + kind_loss + penalty, rel=1e-5)
    assert line["sum_off"] == pytest.approx(np.abs(off).mean(), rel=1e-5)
    assert line["kind_accuracy"] == pytest.approx((shares.argmax(axis=1) == y["kind"]).mean())
    sum_gradient = 2 * x.T @ weighted / 7 + 0.2 * sum_kernel
    kind_gradient = x.T @ (shares - np.eye(2)[y["kind"]]) / 7
    after = [kernel.numpy() for kernel in kernels]
    np.testing.assert_allclose(after[0], sum_kernel - 0.5 * sum_gradient, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(after[1], kind_kernel - 0.5 * kind_gradient, rtol=1e-4, atol=1e-6)
    assert result.monitor == "kind_loss"
    assert set(result.history[0]) == {
        *("step", "loss", "sum_loss", "kind_loss", "sum_off", "kind_accuracy")
    }


class Own(keras.Model):
    """A subclassed model whose layers have no weights before it is called."""

    def __init__(self):
        super().__init__()
        self.flat, self.out = keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")

    def call(self, images):
        hidden = self.flat(images)
        self.add_loss(0.01 * keras.ops.mean(hidden))
        return self.out(hidden)


def test_compiled_subclassed_model(digits, config, capsys):
    model = Own()
    with pytest.raises(ConfigError, match="`loss` is None, and the model was not compiled"):
        fit(model, digits.by_step(), config=config(), progress=False)
    model.compile(loss="sparse_categorical_crossentropy", weighted_metrics=["accuracy"])
    result = fit(model, digits.by_step(), digits.validation, config(steps=3))
    assert set(result.history[0]) == {"step", "loss", "accuracy"}
    said = capsys.readouterr().err
    assert "Loss and metrics are those that the model was compiled with; its optimizer" in said
    assert "own: 650 parameters, 3 steps" in said


def test_model_that_only_adds_losses(config):
    images = keras.Input((4,))
    code = keras.layers.Dense(2)(images)
    model = keras.Model(images, keras.layers.ActivityRegularization(l2=0.1)(code))
    data = tf.data.Dataset.from_tensors(np.ones((3, 4), np.float32))
    model.compile()
    result = fit(model, data, config=config(steps=4, optimizer="sgd"), progress=False)
    assert result.history == []
    assert result.best_step is None
    assert (result.chosen_step, result.monitor) == (4, "")


def test_early_stop_keeps_the_best_and_stays_stopped(tmp_path, digits, linear, config, loss):
    # With a rate of almost nothing no evaluation is better than the first.
    settings = config(steps=50, learning_rate=1e-30, patience=2, evaluate_every=2)
    arguments = {"loss": loss, "metrics": ["accuracy"], "out": tmp_path, "progress": False}
    result = fit(linear, digits.by_step(), digits.validation, settings, **arguments)
    assert result.stopped_early
    assert (result.steps, result.best_step, result.chosen_step) == (6, 2, 2)
    again = fit(linear, digits.by_step(), digits.validation, settings, resume=True, **arguments)
    assert again.stopped_early
    assert (again.steps, again.history) == (6, result.history)
    # More patience goes on.
    patient = settings.model_copy(update={"patience": 3})
    more = fit(linear, digits.by_step(), digits.validation, patient, resume=True, **arguments)
    assert (more.steps, more.stopped_early) == (8, True)


def test_last_weights_may_be_chosen(tmp_path, digits, linear, config, loss):
    settings = config(steps=6, learning_rate=1e-30, choose="last")
    arguments = {"loss": loss, "metrics": ["accuracy"], "progress": False}
    result = fit(linear, digits.by_step(), digits.validation, settings, out=tmp_path, **arguments)
    assert (result.best_step, result.chosen_step) == (3, 6)
    model = linear()
    checkpoints = tmp_path / "checkpoints"
    steps = [load_weights(checkpoints, model, which) for which in ("chosen", "best", "last")]
    assert steps == [6, 3, 6]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"monitor": "accurracy"}, "`monitor` must be one of loss, accuracy, but it is 'accurr"),
        ({"rates": {"logit": 2.0}}, "`rates` must name layers .* Did you mean `logits`?"),
        ({"frozen": ("x",), "frozen_steps": 1}, "`frozen` must name layers of the model"),
    ],
)
def test_wrong_settings_exception_raised(tmp_path, digits, linear, config, loss, settings, message):
    out = tmp_path / "run"
    with pytest.raises(ConfigError, match=message):
        fit(
            linear,
            digits.by_step(),
            digits.validation,
            config(**settings),
            loss=loss,
            metrics=["accuracy"],
            out=out,
            progress=False,
        )
    assert not out.exists()


@pytest.mark.parametrize("setting", [{"patience": 2}, {"monitor": "loss"}])
def test_settings_that_need_validation_exception_raised(digits, linear, config, loss, setting):
    (name,) = setting
    with pytest.raises(ConfigError, match=f"`{name}` .* needs validation data"):
        fit(linear, digits.by_step(), config=config(**setting), loss=loss, progress=False)


class Steps(keras.Model):
    def train_step(self, data):
        return {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": 3}, "`model` must be a Keras model or a function that returns one, but it is i"),
        ({"model": lambda: 3}, "`model` must return a Keras model, but it returned int"),
        ({"model": Steps}, "`model` has `train_step` of its own, which `fit` would not call"),
        ({"train": [1]}, "`train` must be a tf.data.Dataset, a keras.utils.PyDataset or an obj"),
        ({"resume": True}, "`resume` needs `out`"),
        ({"loss": "mze"}, "`loss` 'mze' is unknown to Keras"),
        ({"metrics": ["acuracy"]}, "`metrics` has 'acuracy', unknown to Keras"),
        ({"loss": {"out": "mse"}}, "`loss` has 'out', which is no output of the model: logits"),
    ],
)
def test_wrong_argument_exception_raised(digits, linear, config, loss, arguments, message):
    given = {"model": linear, "train": digits.by_step(), "loss": loss, **arguments}
    with pytest.raises(ConfigError, match=message):
        fit(config=config(), progress=False, **given)


def test_a_finished_model_has_its_precision(digits, linear, config, loss):
    with pytest.raises(ConfigError, match="`mixed_precision` bfloat16 is for models that `fit`"):
        fit(linear(), digits.by_step(), config=config(mixed_precision="bfloat16"), loss=loss)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_mixed_precision_learns(digits, network, config, loss, precision):
    result = fit(
        network,
        digits.by_step(),
        digits.validation,
        config(steps=60, evaluate_every=60, mixed_precision=precision, log_every=60),
        loss=loss,
        metrics=["accuracy"],
        progress=False,
    )
    assert result.model.get_layer("conv").compute_dtype == precision
    assert result.value > 0.5


def test_folder_that_is_in_use_exception_raised(tmp_path, digits, linear, config, loss):
    arguments = {"config": config(steps=1), "loss": loss, "progress": False}
    fit(linear, digits.by_step(), out=tmp_path / "run", **arguments)
    with pytest.raises(RunError, match=r"already holds checkpoints\. Resume from them"):
        fit(linear, digits.by_step(), out=tmp_path / "run", **arguments)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is a file, but a run needs a folder"):
        fit(linear, digits.by_step(), out=tmp_path / "file", **arguments)


def test_validation_that_gives_nothing_exception_raised(digits, linear, config, loss):
    once = iter(list(digits.validation))
    with pytest.raises(DataError, match=r"`validation` has no examples\. .* used only once"):
        fit(linear, digits.by_step(), once, config(), loss=loss, progress=False)


def test_endless_validation_exception_raised(digits, linear, config, loss):
    with pytest.raises(ConfigError, match="`validation` must end, but it has no end"):
        fit(linear, digits.by_step(), digits.validation.repeat(), config(), loss=loss)


def test_examples_instead_of_batches_exception_raised(digits, linear, config, loss):
    with pytest.raises(ConfigError, match="`train` must give batches, but it gives examples: add"):
        fit(linear, digits.dataset().unbatch(), config=config(), loss=loss)


def test_weights_that_learn_nothing_are_named(capsys, digits, config, loss):
    images = keras.Input((8, 8, 1))
    flat = keras.layers.Flatten()(images)
    unused = keras.layers.Dense(3, name="unused")(flat)
    outputs = {"logits": keras.layers.Dense(10)(flat), "other": unused}
    model = keras.Model(images, outputs)
    before = model.get_layer("unused").get_weights()
    settings = config(weight_decay=0.5, optimizer="sgd")
    fit(model, digits.by_step(), config=settings, loss={"logits": loss})
    said = "2 weights learn nothing, because the loss does not depend on them: unused/kernel, unus"
    assert said in capsys.readouterr().err
    np.testing.assert_array_equal(model.get_layer("unused").get_weights()[0], before[0])


def test_training_knows_no_data_models_or_experiments(root):
    forbidden = {"data", "models", "paper", "experiments", "plots", "recipe"}
    for path in (root / "stn_tf" / "training").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in getattr(node, "names", [])]
            rooms = {name.split(".")[1] for name in names if name.startswith("stn_tf.")}
            assert not rooms & forbidden, path
