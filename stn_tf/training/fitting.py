"""Trains any Keras model on any data."""

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stn_tf.errors import ConfigError, RunError
from stn_tf.training.checkpoint import Checkpoints, checkpoint_steps
from stn_tf.training.choice import Choice
from stn_tf.training.compiled import check_steps, compiled_with
from stn_tf.training.config import FitConfig, build_config
from stn_tf.training.devices import device_lines
from stn_tf.training.feed import Feed, open_feed
from stn_tf.training.loop import Loop
from stn_tf.training.objective import Objective
from stn_tf.training.optimizers import Updater
from stn_tf.training.parts import named_layers, rate_factors, unsynchronised
from stn_tf.training.policy import POLICIES, computes_in_half, dtype_policy
from stn_tf.training.progress import TrainingProgress
from stn_tf.training.step import Trainer
from stn_tf.training.strategy import Cluster, agree_on_step, create_strategy, read_cluster
from stn_tf.training.validation import Validation
from stn_tf.training.warm_start import start_from


@dataclasses.dataclass(frozen=True, eq=False)
class FitResult:
    """What came of training.

    Attributes:
        steps: How many were taken, in all parts of a resumed run.
        best_step: Of the best evaluation; None without validation.
        chosen_step: Of the weights that the model has.
        monitor: The validation figure that chose; empty without validation.
        value: Its value at `best_step`.
        history: The validation figures of each evaluation, each with its `step`.
        seconds: From start to end, over all parts.
        images_per_second: While stepping, without evaluation and checkpoints.
        input_wait: The share of that time in which steps waited for data.
        replicas: How many devices took part.
        skipped_steps: How many were left out because they were no numbers.
        stopped_early: Whether it ended for want of improvement.
        notes: What was shown first, a line each: the devices, and what was decided.
        model: With the chosen weights.
    """

    steps: int
    best_step: int | None
    chosen_step: int
    monitor: str
    value: float | None
    history: list[dict[str, float]]
    seconds: float
    images_per_second: float
    input_wait: float
    replicas: int
    skipped_steps: int
    stopped_early: bool
    notes: list[str]
    model: keras.Model


def fit(
    model: keras.Model | Callable[[], keras.Model],
    train: Any,
    validation: Iterable[Any] | None = None,
    config: FitConfig | None = None,
    *,
    loss: Any = None,
    metrics: Any = (),
    out: str | Path | None = None,
    resume: bool = False,
    init: str | Path | None = None,
    progress: bool = True,
    title: str = "",
    notes: Sequence[str] = (),
    on_evaluation: Callable[[int, keras.Model], Mapping[str, np.ndarray] | None] | None = None,
) -> FitResult:
    """Trains a model.

        result = fit(model, dataset, loss="sparse_categorical_crossentropy", out="runs/mine")

    Seeds the global random generators of Python, NumPy and TensorFlow and, with `deterministic`,
    makes TensorFlow's operations deterministic for the rest of the process.

    Args:
        model: Any Keras model; or a function without arguments that returns one, which several
            devices and `mixed_precision` need.
        train: Batches `(x, y)` or `(x, y, sample weights)`: a `tf.data.Dataset` or a
            `keras.utils.PyDataset` of batches for all devices together, or `StepData`, whose
            batches are a function of the step.
        validation: Batches likewise, that can be iterated over again and again, or a PyDataset.
            Each example counts once, whatever the sizes of the batches.
        config: The settings.
        loss: A Keras loss, its name, or a function of labels and predictions; or a mapping or
            sequence of these by output. None for what the model was compiled with.
        metrics: Keras metrics or their names; or a mapping by output of one or several. They do
            not see sample weights, but those that the model was compiled with may.
        out: A folder for checkpoints, `metrics.jsonl` and TensorBoard's files; None writes
            nothing.
        resume: Go on from the latest checkpoint in `out`; from the start if there is none.
        init: Weights to start with: a folder of `fit`, a `.keras` or a `.weights.h5` file. Layers
            of other shapes keep their own.
        progress: Show the progress on stderr.
        title: What is trained.
        notes: Lines to show first.
        on_evaluation: Called after each evaluation with the step and the model, which has the
            weights that were evaluated. It may return images `[N, H, W, C]` in 0..1 by name, which
            are then among TensorBoard's files in `out`.

    Returns:
        The result, on every worker.

    Raises:
        ConfigError: If arguments and settings do not fit each other, the machine or its
            environment.
        DataError: If there are no batches, or not enough.
        RunError: If `out` cannot be used or written, or losses or weights are no numbers.
        Interrupted: If SIGINT or SIGTERM stopped it, after a checkpoint.
    """
    started = time.monotonic()
    config = build_config(FitConfig, {}) if config is None else config
    out = None if out is None else Path(out)
    cluster = read_cluster() if config.strategy in ("auto", "multi-worker") else Cluster()
    _check_folder(out, resume)
    strategy = create_strategy(config.strategy, cluster)
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    with strategy.scope():
        model = _made(model, config, strategy)
        check_steps(model)
        feed = open_feed(train, strategy, config.seed)
        objective, said = _objective(model, feed, loss, metrics)
        factors = rate_factors(model, config.localisation_rate, config.rates)
        updater = Updater(
            config, model.trainable_variables, factors, scales_loss=computes_in_half(model)
        )
        trainer = Trainer(
            config, model, objective, updater, strategy, equal_shares=feed.equal_shares
        )
    choice = Choice(config, objective, validation is not None)
    checkpoints = Checkpoints(
        (out or Path()) / "checkpoints",
        model,
        _groups(model, updater),
        keep=config.keep_checkpoints,
        writes=cluster.is_chief and out is not None,
    )
    lines = [*notes, *said, *feed.notes, *choice.notes, *_notes(config, model, strategy)]
    feed.notify = lines.append
    restored = resume and out is not None and checkpoints.restore(lines.append, feed.restore)
    if init is not None and not restored:
        lines.append(start_from(Path(init), model))
    state = checkpoints.state
    agree_on_step(strategy, state.step)
    if restored and state.steps not in (0, config.steps):
        lines.append(
            f"The schedule of the learning rate is now that of {config.steps:,} steps instead of "
            f"{state.steps:,}: it goes on at {updater.learning_rate(state.step):.3g} (`steps`, "
            "`learning_rate_schedule`)."
        )
    shown = TrainingProgress(
        title or f"{model.name}: {model.count_params():,} parameters, {config.steps:,} steps",
        state.step,
        config.steps,
        shown=progress and cluster.is_chief,
    )
    lines = [*device_lines(strategy, cluster.workers), *lines]
    for line in lines:
        shown.say(line)
    feed.notify = shown.say
    loop = Loop(
        config=config,
        trainer=trainer,
        updater=updater,
        feed=feed,
        validation=None if validation is None else Validation(model, objective, validation),
        choice=choice,
        checkpoints=checkpoints,
        out=out,
        cluster=cluster,
        strategy=strategy,
        progress=shown,
        on_evaluation=on_evaluation,
        started=started,
    )
    stopped_early = loop.run()
    chosen = loop.choose()
    return FitResult(
        steps=state.step,
        best_step=state.best_step,
        chosen_step=chosen,
        monitor=choice.monitor,
        value=state.best_value,
        history=state.history,
        seconds=state.seconds,
        images_per_second=loop.images_per_second,
        input_wait=loop.input_wait,
        replicas=strategy.num_replicas_in_sync,
        skipped_steps=state.skipped,
        stopped_early=stopped_early,
        notes=lines,
        model=model,
    )


def _check_folder(out: Path | None, resume: bool) -> None:
    if out is None:
        if resume:
            raise ConfigError("`resume` needs `out`, the folder in which training was going on.")
        return
    if out.exists() and not out.is_dir():
        raise RunError(f"`{out}` is a file, but a run needs a folder. Choose another.")
    if not resume and checkpoint_steps(out / "checkpoints"):
        raise RunError(
            f"`{out}` already holds checkpoints. Resume from them, choose another folder, or "
            "delete it."
        )


def _made(model: Any, config: FitConfig, strategy: tf.distribute.Strategy) -> keras.Model:
    """Returns the model, made in the strategy's scope and in the precision of the settings."""
    if isinstance(model, keras.Model):
        if config.mixed_precision != "none":
            raise ConfigError(
                f"`mixed_precision` {config.mixed_precision} is for models that `fit` makes. Give "
                "a function that returns the model, or make the model under a dtype policy."
            )
        made = [isinstance(v.value, tf.distribute.DistributedValues) for v in model.weights]
        if strategy.num_replicas_in_sync > 1 and not all(made):
            raise ConfigError(
                f"The model was made for one device, but there are "
                f"{strategy.num_replicas_in_sync}. Give a function that returns the model, or use "
                "strategy=one."
            )
        return model
    if not callable(model):
        raise ConfigError(
            "`model` must be a Keras model or a function that returns one, but it is "
            f"{type(model).__name__}."
        )
    with dtype_policy(POLICIES[config.mixed_precision]):
        made_model = model()
    if not isinstance(made_model, keras.Model):
        raise ConfigError(
            f"`model` must return a Keras model, but it returned {type(made_model).__name__}."
        )
    return made_model


def _notes(config: FitConfig, model: keras.Model, strategy: tf.distribute.Strategy) -> list[str]:
    """Returns what should be known of the settings' consequences, a line each."""
    notes = []
    if bool(config.frozen) != bool(config.frozen_steps):
        notes.append(
            f"Nothing is frozen, because that needs both `frozen` ({list(config.frozen)}) and "
            f"`frozen_steps` ({config.frozen_steps})."
        )
    named_layers(model, config.frozen, "frozen")
    names = unsynchronised(model) if strategy.num_replicas_in_sync > 1 else []
    if names:
        notes.append(
            f"{len(names)} layers of batch normalisation, such as {names[0]}, see only the "
            "examples of their own device. Make them with synchronized=True for those of all."
        )
    return notes


def _objective(
    model: keras.Model, feed: Feed, loss: Any, metrics: Any
) -> tuple[Objective, list[str]]:
    """Returns losses and metrics, and makes the weights of a model that has none yet."""
    notes = []
    given: dict[str, Any] = {"loss": loss, "metrics": metrics}
    if loss is None:
        compiled = compiled_with(model)
        given = vars(compiled) | ({"metrics": metrics} if metrics else {})
        notes.append(
            "Loss and metrics are those that the model was compiled with; its optimizer is not "
            "used (`optimizer`)."
        )
    x, y, _ = keras.utils.unpack_x_y_sample_weight(feed.element_spec)
    predicted = getattr(model, "output", None) if model.built else None
    if predicted is None:
        x, y, _ = keras.utils.unpack_x_y_sample_weight(feed.first())
        predicted = model(x, training=False)
    objective = Objective(model, **given)
    objective.build(y, predicted)
    averaged = [named.name for named in objective.metrics if not named.adds_up]
    if averaged:
        notes.append(
            f"While training, {', '.join(averaged)} is the mean over batches, because it builds on "
            "no metric of Keras. Validation is exact."
        )
    return objective, notes


def _groups(model: keras.Model, updater: Updater) -> dict[str, Any]:
    """Returns all variables that a checkpoint holds."""
    places = {id(variable): place for place, variable in enumerate(model.weights)}
    learning = model.trainable_variables
    groups: dict[str, Any] = {"weights": model.weights}
    if updater.averages:
        pairs = zip(learning, updater.averages, strict=True)
        groups["average"] = {places[id(variable)]: average for variable, average in pairs}
    random = {id(v): v for v in model.variables if id(v) not in places}
    return {**groups, "optimizer": updater.variables, "random": list(random.values())}
