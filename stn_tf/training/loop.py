"""The training loop.

It is our own, on `strategy.run`: Keras `fit` fails under MultiWorkerMirroredStrategy (Keras 3 with
TensorFlow 2.21).
"""

import math
import signal
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from stn_tf.paper import Source, canvas_size, training_dataset
from stn_tf.errors import ConfigError, RunError
from stn_tf.layers import record_transformations
from stn_tf.training.checkpoint import Checkpoints
from stn_tf.training.config import ExperimentConfig
from stn_tf.experiments.evaluation import confusion, error_percent, predictor
from stn_tf.experiments.run_folder import RunFolder, writing
from stn_tf.training.interrupt import Interrupted, StopRequest
from stn_tf.training.journal import Journal
from stn_tf.training.optimizers import LearningRate
from stn_tf.training.progress import TrainingProgress
from stn_tf.experiments.report import Report, versions, weights_sha256, write_whole
from stn_tf.experiments.run import config_source, evaluation_batches
from stn_tf.training.step import Trainer, build_model, dtype_policy
from stn_tf.training.strategy import Cluster, create_strategy, local_replica_ids, read_cluster

_PICTURES = 8


def train(
    config: ExperimentConfig, out: Path, *, resume: bool = False, progress: bool = True
) -> Report:
    """Trains a network and writes a run folder.

    Seeds the global random generators of Python, NumPy and TensorFlow and, with `deterministic`,
    makes TensorFlow's operations deterministic for the rest of the process.

    Args:
        config: The settings.
        out: The run folder.
        resume: Go on from the latest checkpoint in `out`; from the start if there is none.
        progress: Show the progress on stderr.

    Returns:
        The report, on every worker. A run that is complete already only returns its report.

    Raises:
        ConfigError: If the settings do not fit this machine, its environment or the data.
        DataError: If the data cannot be read.
        RunError: If `out` cannot be used or written, or the loss is no longer a number.
        Interrupted: If SIGINT or SIGTERM stopped it, after a checkpoint.
    """
    started = time.monotonic()
    out = Path(out)
    if config.data_dir is not None:
        config = config.model_copy(update={"data_dir": str(Path(config.data_dir).resolve())})
    cluster = read_cluster() if config.strategy in ("auto", "multi-worker") else Cluster()
    folder = RunFolder(out)
    if cluster.is_chief or resume:
        folder.check(config, resume)
        if folder.report.exists():
            return Report.read(folder.report)
    strategy = create_strategy(config.strategy, cluster)
    if config.batch_size % strategy.num_replicas_in_sync:
        raise ConfigError(
            f"`batch_size` must be a multiple of the {strategy.num_replicas_in_sync} replicas, but "
            f"it is {config.batch_size}."
        )
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    source = config_source(config)
    return _Training(config, folder, cluster, strategy, source, progress, started).run()


class _Training:
    """One run from its first step in this process to its report."""

    def __init__(
        self,
        config: ExperimentConfig,
        folder: RunFolder,
        cluster: Cluster,
        strategy: tf.distribute.Strategy,
        source: Source,
        progress: bool,
        started: float,
    ):
        self.config = config
        self.folder = folder
        self.cluster = cluster
        self.strategy = strategy
        self.source = source
        self.started = started
        height, width, channels = source.train.images.shape[1:]
        self.input_shape = (*canvas_size(config.distortion, (height, width)), channels)
        self.trainer = Trainer(config, strategy, self.input_shape, len(source.classes))
        if cluster.is_chief:
            folder.create(config, self.input_shape, source.classes)
        self.checkpoints = Checkpoints(
            folder.checkpoints,
            self.trainer.model,
            self.trainer.optimizer,
            is_chief=cluster.is_chief,
        )
        self.title = (
            f"{config.name}, {config.model}, {self.trainer.model.count_params():,} parameters: "
            f"{config.steps:,} steps of {config.batch_size} images"
        )
        self.shown = progress and cluster.is_chief
        self.predict = predictor(self.trainer.model)

    def run(self) -> Report:
        config = self.config
        start = self.checkpoints.restore()
        _agree(self.strategy, start)
        self.before = float(self.checkpoints.seconds)
        self.journal = Journal(self.folder, start) if self.cluster.is_chief else None
        self.progress = TrainingProgress(self.title, start, config.steps, shown=self.shown)
        try:
            with self.progress, StopRequest(self.progress.say) as stop:
                if start:
                    self.progress.say(f"Continuing after step {start}.")
                self._steps(start, stop)
                self._checkpoint(config.steps)
                return self._report()
        finally:
            if self.journal:
                self.journal.close()
            self.checkpoints.close()

    def _steps(self, start: int, stop: StopRequest) -> None:
        config = self.config
        iterator = iter(self.strategy.distribute_datasets_from_function(self._dataset(start)))
        window: list[tf.Tensor] = []
        clock: float | None = None
        for step in range(start + 1, config.steps + 1):
            images, labels = next(iterator)
            sums = self.trainer.step(images, labels, bool(stop))
            window.append(sums)
            # Several workers stop after the same step, or those that go on would wait for ever.
            stopping = bool(stop) if self.cluster.workers == 1 else bool(sums[2] > 0)
            last = step == config.steps
            evaluate = step % config.evaluate_every == 0 and not last and not stopping
            checkpoint = step % config.checkpoint_every == 0 or stopping
            if evaluate or checkpoint or last or step % config.log_every == 0:
                self._log(step, window, clock)
                window.clear()
                if evaluate:
                    self._validate(step)
                if checkpoint:
                    self._checkpoint(step)
                clock = time.perf_counter()
            elif clock is None:
                # The first step includes tracing, so that it says nothing about speed.
                self._log(step, window, None)
                window.clear()
                clock = time.perf_counter()
            if stopping and not last:
                raise Interrupted(step, stop.number or signal.SIGTERM)

    def _dataset(self, start: int) -> Callable[[tf.distribute.InputContext], tf.data.Dataset]:
        def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
            return training_dataset(
                self.source.train,
                self.config.distortion,
                batch_size=self.config.batch_size,
                seed=self.config.seed,
                start_step=start,
                replicas=context.num_replicas_in_sync,
                replica_ids=local_replica_ids(context),
            )

        return dataset

    def _log(self, step: int, window: list[tf.Tensor], clock: float | None) -> None:
        sums = np.array([sums.numpy() for sums in window], np.float64)
        loss, wrong = float(sums[:, 0].mean()), float(sums[:, 1].mean())
        if not math.isfinite(loss):
            raise RunError(
                f"The loss is {loss} after step {step}, so training has stopped. Lower "
                f"`learning_rate` ({self.config.learning_rate}) or `localisation_rate` "
                f"({self.config.localisation_rate}), or raise `warmup_steps` "
                f"({self.config.warmup_steps}), and start again in another folder."
            )
        checkpoints = self.checkpoints
        if clock is not None:
            checkpoints.timed_seconds.assign_add(time.perf_counter() - clock)
            checkpoints.timed_steps.assign_add(len(window))
        error = 100.0 * wrong / self.config.batch_size
        speed = self._images_per_second()
        images_left = (self.config.steps - step) * self.config.batch_size
        self.progress.update(step, loss, error, speed, images_left)
        if self.journal:
            self.journal.scalars(
                step,
                loss=loss,
                error_percent=error,
                learning_rate=float(LearningRate(self.config)(step - 1)),
                images_per_second=speed,
            )

    def _validate(self, step: int) -> float:
        dataset = evaluation_batches(self.source, self.config, "validation")
        error = error_percent(confusion(self.predict, dataset, len(self.source.classes)))
        self.progress.say(f"step {step}: validation error {error:.2f} %")
        if self.journal:
            self.journal.scalars(step, validation_error_percent=error)
            images = next(iter(dataset))[0][:_PICTURES]
            with record_transformations() as records:
                self.trainer.model(images, training=False)
            crops = {f"crops_{i}": r.crops.numpy() for i, r in enumerate(records, 1)}
            self.journal.images(step, images=images.numpy(), **crops)
        return error

    def _checkpoint(self, step: int) -> None:
        self.checkpoints.seconds.assign(self._seconds())
        self.checkpoints.save(step)

    def _report(self) -> Report:
        config, model = self.config, self.trainer.model
        if config.mixed_precision != "none":
            # Exported models compute in float32, so this is what is measured.
            with dtype_policy("float32"):
                model = build_model(config, self.input_shape, len(self.source.classes))
            model.set_weights(self.trainer.model.get_weights())
            self.predict = predictor(model)
        validation_error = self._validate(config.steps)
        dataset = evaluation_batches(self.source, config, "test")
        test_error = error_percent(confusion(self.predict, dataset, len(self.source.classes)))
        report = Report(
            experiment=config.name,
            model=config.model,
            error_percent=test_error,
            validation_error_percent=validation_error,
            steps=config.steps,
            seconds=round(self._seconds(), 2),
            images_per_second=round(self._images_per_second(), 1),
            seed=config.seed,
            parameters=model.count_params(),
            replicas=self.strategy.num_replicas_in_sync,
            weights_sha256=weights_sha256(model),
            versions=versions(),
        )
        if self.cluster.is_chief:
            with writing(self.folder.path, "the report", "Free some space, then use --resume."):
                write_whole(self.folder.report, report.to_json())
        return report

    def _seconds(self) -> float:
        return self.before + time.monotonic() - self.started

    def _images_per_second(self) -> float:
        seconds = float(self.checkpoints.timed_seconds)
        images = int(self.checkpoints.timed_steps) * self.config.batch_size
        return images / seconds if seconds else 0.0


def _agree(strategy: tf.distribute.Strategy, step: int) -> None:
    """Raises RunError unless all workers start at the same step."""
    if strategy.num_replicas_in_sync == 1:
        return

    def extent() -> tf.Tensor:
        own = tf.constant([step, step * step], tf.float64)
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.MEAN, own)

    result = strategy.run(tf.function(extent))
    mean, mean_square = strategy.experimental_local_results(result)[0].numpy()
    if not math.isclose(mean * mean, mean_square):
        raise RunError(
            f"This worker would continue after step {step}, but others after another. All workers "
            "must see the same run folder: put it on a file system that they share."
        )
