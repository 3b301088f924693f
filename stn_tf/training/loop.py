"""The training loop.

It is our own, on `strategy.run`: Keras `fit` fails under MultiWorkerMirroredStrategy (Keras 3 with
TensorFlow 2.21).
"""

import contextlib
import dataclasses
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stn_tf.errors import RunError
from stn_tf.training.checkpoint import Checkpoints, load_weights
from stn_tf.training.choice import Choice
from stn_tf.training.config import FitConfig
from stn_tf.training.feed import Feed, next_batch
from stn_tf.training.interrupt import Interrupted, StopRequest
from stn_tf.training.journal import Journal
from stn_tf.training.not_finite import keep_step
from stn_tf.training.optimizers import Updater
from stn_tf.training.parts import Freeze
from stn_tf.training.progress import TrainingProgress, figures_text
from stn_tf.training.step import BAD, EXAMPLES, LOSS, LOST, STOP, WISH, Trainer
from stn_tf.training.strategy import Cluster, from_chief
from stn_tf.training.validation import Validation

_MOST_SKIPPED_IN_A_ROW = 20
_MOST_KEPT = 3
_SHOWN = 5


@dataclasses.dataclass
class Loop:
    """All that takes part in training, and the loop over its steps."""

    config: FitConfig
    trainer: Trainer
    updater: Updater
    feed: Feed
    validation: Validation | None
    choice: Choice
    checkpoints: Checkpoints
    out: Path | None
    cluster: Cluster
    strategy: tf.distribute.Strategy
    progress: TrainingProgress
    on_evaluation: Callable[[int, keras.Model], Mapping[str, np.ndarray] | None] | None
    started: float

    def run(self) -> bool:
        """Takes all steps that are left; returns whether it stopped early."""
        state = self.checkpoints.state
        self.before = state.seconds
        self.started_steps = False
        self.best_weights: list[np.ndarray] | None = None
        self.window: list[np.ndarray] = []
        self.pending: tuple[int, list[Any], tf.Tensor] | None = None
        writes = self.out is not None and self.cluster.is_chief
        self.journal = Journal(self.out, state.step) if writes and self.out else None
        try:
            with self.progress, StopRequest(self.progress.say) as stop:
                if state.step:
                    self.progress.say(f"Continuing after step {state.step}.")
                state.steps, state.choose = self.config.steps, self.config.choose
                if state.step and self._is_due_evaluation() and not state.was_evaluated:
                    # It was stopped between the step and its evaluation.
                    self._evaluate()
                    self._save()
                if self.choice.has_stopped_improving(state):
                    return True
                if state.step >= self.config.steps:
                    return False
                with contextlib.ExitStack() as frozen:
                    return self._steps(stop, frozen)
        finally:
            if self.journal:
                self.journal.close()

    def _steps(self, stop: StopRequest, frozen: contextlib.ExitStack) -> bool:
        config, state = self.config, self.checkpoints.state
        iterator = self.feed.iterator(state.batches)
        saved_at = time.monotonic()
        clock: float | None = None
        wait = 0.0
        for step in range(state.step + 1, config.steps + 1):
            if self._freeze(step, state.step, frozen):
                clock = None
            asked = time.perf_counter()
            batches = self._batches(iterator)
            wait += time.perf_counter() - asked
            overdue = bool(config.checkpoint_minutes) and (
                time.monotonic() - saved_at >= 60.0 * config.checkpoint_minutes
            )
            sums = self.trainer.step(batches, stop=bool(stop), wish=overdue)
            self._check(step, batches, sums)
            state.step = step
            # Several workers do the same after the same step, or some would wait for ever.
            stopping, overdue = (
                (bool(stop), overdue)
                if self.cluster.workers == 1
                else (bool(sums[STOP] > 0), bool(sums[WISH] > 0))
            )
            last = step == config.steps
            evaluate = self._is_due_evaluation() and not stopping
            checkpoint = step % config.checkpoint_every == 0 or overdue or stopping or last
            if clock is None or evaluate or checkpoint or step % config.log_every == 0:
                # The first step includes tracing, so that it says nothing about speed.
                self._log(clock, wait)
                better = evaluate and self._evaluate()
                early = evaluate and self.choice.has_stopped_improving(state)
                if checkpoint or better or early:
                    self._save()
                    saved_at = time.monotonic()
                if early:
                    self.progress.say(
                        f"Stopping early: {state.unimproved} evaluations in a row were no better "
                        f"than that of step {state.best_step} (`patience`)."
                    )
                    return True
                clock, wait = time.perf_counter(), 0.0
            if stopping and not last:
                raise Interrupted(step, stop.number or signal.SIGTERM)
        return False

    def _freeze(self, step: int, before: int, frozen: contextlib.ExitStack) -> bool:
        """Freezes or frees layers where a step needs it; returns whether it did."""
        config, model = self.config, self.trainer.model
        first = before == step - 1 and not self.started_steps
        self.started_steps = True
        if first and step <= config.frozen_steps:
            frozen.enter_context(Freeze(model, config.frozen))
            self.trainer.retrace()
            return True
        if step == config.frozen_steps + 1 and not first and config.frozen:
            frozen.close()
            self.trainer.retrace()
            self.progress.say(f"step {step}: no longer frozen: {', '.join(config.frozen)}.")
            return True
        return False

    def _batches(self, iterator: Iterator[Any]) -> list[Any]:
        state = self.checkpoints.state
        batches = []
        for _ in range(self.config.accumulate_steps):
            batches.append(next_batch(iterator, state.batches))
            state.batches += 1
        return batches

    def _check(
        self, step: int = 0, batches: list[Any] | None = None, sums: tf.Tensor | None = None
    ) -> None:
        """Looks at the figures of the step before the one that was started, or else of the last.

        So the device always has a step to compute while this process waits for figures.

        Raises:
            RunError: If training cannot go on.
        """
        pending = self.pending
        self.pending = None if sums is None else (step, batches or [], sums)
        if pending is None:
            return
        at, used, given = pending
        figures = given.numpy()
        self.window.append(figures)
        if figures[LOST] or figures[BAD] == 1.0:
            self._note_bad_step(at, used, figures)
        elif not figures[BAD]:
            self.checkpoints.state.skipped_in_a_row = 0

    def _note_bad_step(self, step: int, batches: list[Any], figures: np.ndarray) -> None:
        state, config = self.checkpoints.state, self.config
        lost = bool(figures[LOST])
        if not lost:
            state.skipped += 1
            state.skipped_in_a_row += 1
        too_many = state.skipped_in_a_row >= _MOST_SKIPPED_IN_A_ROW
        stops = lost or config.on_nan == "stop" or too_many
        if not stops and state.skipped > _MOST_KEPT:
            return
        is_loss = not math.isfinite(figures[LOSS])
        what = f"The loss is {figures[LOSS]}" if is_loss else "The gradients are no numbers"
        what = "Weights are no numbers" if lost else what
        writes = self.out if self.cluster.is_chief else None
        where = keep_step(writes, step, batches, self.trainer.model, self.strategy)
        if not stops:
            self.progress.say(f"{what} in step {step}, which is left out (`on_nan`). {where}")
            return
        many = f", as in {state.skipped_in_a_row} steps in a row" if too_many else ""
        saved = f" The last checkpoint is of step {self.checkpoints.saved}."
        skip = ", or leave such steps out with on_nan=skip" if config.on_nan == "stop" else ""
        raise RunError(
            f"{what} after step {step}{many}, so training has stopped, and nothing of it was saved."
            f"{saved if self.checkpoints.saved else ''} {where} Lower `learning_rate` "
            f"({config.learning_rate}) or `localisation_rate` ({config.localisation_rate}), raise "
            f"`warmup_steps` ({config.warmup_steps}) or set `clip_norm` ({config.clip_norm}), and "
            f"start again in another folder{skip if not lost else ''}."
        )

    def _is_due_evaluation(self) -> bool:
        step = self.checkpoints.state.step
        return self.validation is not None and (
            step % self.config.evaluate_every == 0 or step == self.config.steps
        )

    def _log(self, clock: float | None, wait: float) -> None:
        state = self.checkpoints.state
        self._check()
        if clock is not None:
            state.timed_seconds += time.perf_counter() - clock
            state.timed_wait += wait
            state.timed_images += float(sum(figures[EXAMPLES] for figures in self.window))
        figures = self.trainer.figures(self.window)
        if clock is None and self.trainer.without_gradient:
            names = self.trainer.without_gradient
            self.progress.say(
                f"{len(names)} weights learn nothing, because the loss does not depend on them: "
                f"{', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}."
            )
        left = self.config.steps - state.step
        images = float(np.mean([vector[EXAMPLES] for vector in self.window]))
        self.window.clear()
        speed = self.images_per_second
        seconds_left = left * images / speed if speed else 0.0
        self.progress.update(state.step, figures, speed, self.input_wait, seconds_left)
        if self.journal:
            more = {"skipped_steps": float(state.skipped)} if state.skipped else {}
            self.journal.scalars(
                state.step,
                **figures,
                **more,
                learning_rate=self.updater.learning_rate(state.step - 1),
                images_per_second=speed,
                input_wait=self.input_wait,
            )

    def _evaluate(self) -> bool:
        """Measures the model on the validation data; returns whether it is the best so far."""
        assert self.validation is not None
        state = self.checkpoints.state
        self.trainer.synchronise()
        with self.updater.averaged():
            figures = self.validation.figures()
            if self.cluster.workers > 1:
                # Machines that differ in the last digit must not differ in what they do next.
                figures = dict(
                    zip(figures, from_chief(self.strategy, list(figures.values())), strict=True)
                )
            better = self.choice.note_evaluation(state, figures)
            if better and self.out is None and self.config.choose == "best":
                self.best_weights = self.trainer.model.get_weights()
            pictures = (
                None
                if self.on_evaluation is None
                else self.on_evaluation(state.step, self.trainer.model)
            )
        self.progress.say(f"step {state.step}: validation {figures_text(figures)}")
        if self.journal:
            named = {f"validation_{name}": value for name, value in figures.items()}
            self.journal.scalars(state.step, **named)
            if pictures:
                self.journal.images(state.step, **pictures)
        return better

    def _save(self) -> None:
        state = self.checkpoints.state
        state.seconds = self.before + time.monotonic() - self.started
        self.trainer.synchronise()
        if self.out is not None:
            self.checkpoints.save(self.feed.save)

    def choose(self) -> int:
        """Gives the model the weights that the settings choose; returns their step."""
        state, model = self.checkpoints.state, self.trainer.model
        state.seconds = self.before + time.monotonic() - self.started
        best = self.config.choose == "best" and state.best_step is not None
        if best and state.best_step != state.step:
            if self.out is not None:
                return load_weights(self.out / "checkpoints", model, "best")
            if self.best_weights is not None:
                model.set_weights(self.best_weights)
                return int(state.best_step or 0)
        self.updater.use_averages()
        return state.step

    @property
    def images_per_second(self) -> float:
        """While stepping, over all parts of a run."""
        state = self.checkpoints.state
        return state.timed_images / state.timed_seconds if state.timed_seconds else 0.0

    @property
    def input_wait(self) -> float:
        """The share of the time of steps in which they waited for data."""
        state = self.checkpoints.state
        return state.timed_wait / state.timed_seconds if state.timed_seconds else 0.0
