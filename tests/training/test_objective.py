"""Losses and metrics as sums, against Keras's own over all examples at once."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from stn_tf.errors import ConfigError
from stn_tf.training import fit
from stn_tf.training.choice import Choice
from stn_tf.training.error_percent import ErrorPercent
from stn_tf.training.objective import Objective
from stn_tf.training.state import State


class Spread(keras.metrics.Metric):
    """The largest prediction so far, whose states do not add up."""

    def __init__(self, name="spread"):
        super().__init__(name=name)
        self._largest = self.add_variable((), "zeros", name="largest")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self._largest.assign(keras.ops.maximum(self._largest, keras.ops.max(y_pred)))

    def result(self):
        return self._largest


METRICS = {
    "accuracy": lambda: "accuracy",
    "auc": lambda: keras.metrics.AUC(num_thresholds=20, multi_label=True, name="auc"),
    "f1": lambda: keras.metrics.F1Score(name="f1"),
    "r2": lambda: keras.metrics.R2Score(name="r2"),
    "iou": lambda: keras.metrics.OneHotMeanIoU(3, name="iou"),
    "recall": lambda: keras.metrics.Recall(name="recall"),
    "rmse": lambda: keras.metrics.RootMeanSquaredError(name="rmse"),
    "error": lambda: ErrorPercent(name="error"),
    "function": lambda: keras.losses.mean_absolute_error,
}


def _examples(rng, count=30):
    scores = rng.normal(size=(count, 3)).astype(np.float32)
    predicted = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    labels = np.eye(3, dtype=np.float32)[rng.integers(0, 3, count)]
    return labels, predicted


def _model():
    return keras.Sequential([keras.Input((3,)), keras.layers.Identity(name="out")])


@pytest.mark.parametrize("name", METRICS)
def test_metrics_add_up_over_replicas_and_steps_random(rng, name):
    labels, predicted = _examples(rng)
    objective = Objective(_model(), "categorical_crossentropy", [METRICS[name]()])
    objective.build(labels, predicted)
    (named,) = objective.metrics
    assert named.adds_up

    @tf.function
    def sums(y, predicted):
        return tf.concat(objective.sums(y, predicted, None, tf.constant(9.0)), axis=0)

    parts = [sums(labels[i:j], predicted[i:j]).numpy() for i, j in ((0, 7), (7, 19), (19, 30))]
    assert len(parts[0]) == objective.sums_length
    figures = objective.figures(np.sum(parts, axis=0), 30.0)
    whole = objective.update_states(objective.initial_states(), labels, predicted, None)
    expected = objective.results(whole)
    assert figures.keys() == expected.keys() == {named.name}
    assert figures[named.name] == pytest.approx(expected[named.name], rel=1e-5)
    # And by Keras, with states of its own.
    metric = objective.metrics[0].metric
    metric.update_state(labels, predicted)
    assert expected[named.name] == pytest.approx(float(np.mean(metric.result())), rel=1e-6)


def test_error_percent():
    metric = ErrorPercent()
    metric.update_state([0, 1, 1, 2], np.eye(3)[[0, 2, 1, 1]])
    assert float(metric.result()) == 50.0
    metric.reset_state()
    # Weights are of the loss; mixed labels count as their largest share.
    metric.update_state([[0.4, 0.6]], [[0.1, 0.9]], sample_weight=[0.0])
    assert float(metric.result()) == 0.0
    assert ErrorPercent.from_config(metric.get_config()).name == "error_percent"


def test_metrics_that_do_not_add_up_are_averaged(capsys, digits, linear, config, loss):
    result = fit(
        linear,
        digits.by_step(),
        digits.validation,
        config(steps=3),
        loss=loss,
        metrics=[Spread()],
    )
    said = capsys.readouterr().err
    assert "While training, spread is the mean over batches, because it builds on no metric" in said
    # It does not say whether more is better.
    assert "those of the lowest validation loss, because the metric spread does not say" in said
    assert result.monitor == "loss"
    logits = result.model(digits.validation_x, training=False).numpy()
    assert result.history[-1]["spread"] == pytest.approx(logits.max(), rel=1e-6)


def test_examples_weigh_alike_in_parts_of_any_size_random(rng):
    """Replicas may have shares of other sizes: what they add up to is the mean of all."""
    labels, predicted = _examples(rng)
    weights = rng.uniform(size=30).astype(np.float32)
    losses = {
        "mean": keras.losses.CategoricalCrossentropy(),
        "sum": keras.losses.CategoricalCrossentropy(reduction="sum"),
        "none": keras.losses.CategoricalCrossentropy(reduction=None),
        "function": lambda y, p: -tf.reduce_sum(y * tf.math.log(p), axis=-1),
    }
    each = -(labels * np.log(predicted.astype(np.float64))).sum(axis=1) * weights
    for name, loss in losses.items():
        objective = Objective(_model(), loss)
        objective.build(labels, predicted)
        total = 0.0
        for i, j in ((0, 7), (7, 30)):
            share = (j - i) / 30
            total += float(objective.losses(labels[i:j], predicted[i:j], weights[i:j], share)[0])
        expected = each.sum() if name == "sum" else each.mean()
        assert total == pytest.approx(expected, rel=1e-5), name


def _two():
    x = keras.Input((3,))
    return keras.Model(x, [keras.layers.Dense(2, name="a")(x), keras.layers.Dense(1, name="b")(x)])


ONES = [np.ones((4, 2), np.float32), np.ones((4, 1), np.float32)]


@pytest.mark.parametrize(
    ("loss", "labels", "names"),
    [
        ("mse", ONES, ["a_loss", "b_loss"]),
        (["mse", None], ONES, []),
        (["mse", "mae"], {"a": ONES[0], "b": ONES[1]}, ["a_loss", "b_loss"]),
        ({"b": "mae"}, ONES[1], []),
        ({"b": "mae"}, {"b": ONES[1]}, []),
        ({"b": "mae"}, [ONES[1]], []),
    ],
)
def test_labels_and_losses_find_their_outputs(loss, labels, names):
    objective = Objective(_two(), loss)
    objective.build(labels, ONES)
    assert objective.loss_names == names
    total, single = objective.losses(labels, [o + 2 for o in ONES], None, 1.0)
    assert len(single) == len(names)
    assert float(total) in (4.0, 6.0, 8.0, 2.0)


@pytest.mark.parametrize(
    ("arguments", "labels", "message"),
    [
        ({"loss": {"c": "mse"}}, ONES, "`loss` has 'c', which is no output of the model: a, b"),
        ({"loss": ["mse"]}, ONES, r"`loss` must have one for each output \(a, b\), but it has 1"),
        ({"loss": {"a": "mse"}}, {"b": 1}, "`loss` is for the output 'a', which has no labels"),
        ({"loss": "mse"}, {"c": 1}, "The labels have 'c', which is no output of the model: a, b"),
        ({"loss": "mse"}, ONES[0], "The labels must be a mapping or a sequence for the outputs a"),
        ({"loss": "mse", "metrics": ["mae"]}, ONES, "`metrics` must be a mapping by output, bec"),
        (
            {"loss": {"a": "mse"}, "metrics": {"b": "mae"}},
            {"a": ONES[0]},
            "`metrics` has some for 'b', which has no labels",
        ),
    ],
)
def test_what_does_not_fit_the_outputs_exception_raised(arguments, labels, message):
    with pytest.raises(ConfigError, match=message):
        Objective(_two(), **arguments).build(labels, ONES)


def test_names_of_metrics_are_different():
    objective = Objective(
        _model(),
        "mse",
        [keras.metrics.MeanSquaredError(name="m"), keras.metrics.MeanAbsoluteError(name="m")],
        weighted_metrics=["mae", keras.metrics.MeanSquaredError(name="m")],
    )
    objective.build(np.ones((2, 3)), np.ones((2, 3)))
    names = [named.name for named in objective.metrics]
    assert len(set(names)) == 4
    assert names[0] == "m"
    assert [named.weighted for named in objective.metrics] == [False, False, True, True]


@pytest.mark.parametrize(
    ("metric", "values", "best"),
    [
        ("accuracy", [0.5, 0.9, 0.7, float("nan"), 0.9], 2),
        ("mae", [0.5, 0.2, 0.7, float("nan"), 0.1], 5),
        (None, [float("nan"), 2.0, 1.0, 1.0, float("inf")], 3),
    ],
)
def test_the_best_evaluation_preset(metric, values, best):
    from stn_tf.training import FitConfig

    given = [] if metric is None else ["accuracy" if metric == "accuracy" else _absolute()]
    objective = Objective(_model(), "mse", given)
    objective.build(np.ones((2, 3)), np.ones((2, 3)))
    choice = Choice(FitConfig(patience=2), objective, True)
    assert choice.monitor == (metric or "loss")
    state = State()
    stopped = []
    for step, value in enumerate(values, 1):
        state.step = step
        choice.note_evaluation(state, {"loss": 0.0, choice.monitor: value})
        stopped.append(choice.has_stopped_improving(state))
    assert state.best_step == best
    assert state.was_evaluated
    assert stopped[:3] == [False, False, False]


def _absolute():
    metric = keras.metrics.MeanAbsoluteError(name="mae")
    metric._direction = "down"
    return metric


def test_a_metric_without_direction_exception_raised():
    from stn_tf.training import FitConfig

    objective = Objective(_model(), "mse", [Spread()])
    objective.build(np.ones((2, 3)), np.ones((2, 3)))
    with pytest.raises(ConfigError, match="`monitor` spread does not say whether more is better"):
        Choice(FitConfig(monitor="spread"), objective, True)
