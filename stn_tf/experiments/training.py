"""From settings to a finished run folder."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stn_tf.data import data_errors
from stn_tf.errors import StnError
from stn_tf.experiments.evaluation import error_percent, reported_split
from stn_tf.experiments.recipes import recipe_of
from stn_tf.experiments.report import Report, versions, weights_sha256
from stn_tf.experiments.run import Run
from stn_tf.experiments.run_folder import RunFolder
from stn_tf.experiments.survey import NOTHING, Survey, survey
from stn_tf.experiments.views import Picture, picture_images
from stn_tf.recipe import ExperimentConfig, Prepared
from stn_tf.training import FitResult, fit, use_devices
from stn_tf.training.files import write_whole, writing
from stn_tf.training.policy import dtype_policy
from stn_tf.training.strategy import read_cluster
from stn_tf.training.validation import batches_of, measure

# So many validation images are shown in TensorBoard at each evaluation.
_PICTURES = 8


def train(
    config: ExperimentConfig,
    out: Path,
    *,
    resume: bool = False,
    init: Path | None = None,
    progress: bool = True,
) -> Report:
    """Trains what the settings say and writes a run folder.

    Seeds the global random generators of Python, NumPy and TensorFlow and, with `deterministic`,
    makes TensorFlow's operations deterministic for the rest of the process.

    Args:
        config: From `load_experiment`.
        out: The run folder.
        resume: Go on from the latest checkpoint in `out`; from the start if there is none.
        init: A run folder or a `.keras` file whose weights the model starts with.
        progress: Show the progress on stderr.

    Returns:
        The report, on every worker. A run that is complete already only returns its report, unless
        the settings want more steps.

    Raises:
        ConfigError: If the settings do not fit this machine, its environment or the data.
        DataError: If the data cannot be read.
        RunError: If `out` cannot be used or written, or the loss is no longer a number.
        Interrupted: If SIGINT or SIGTERM stopped it, after a checkpoint.
    """
    folder = RunFolder(Path(out))
    cluster = read_cluster()
    if cluster.is_chief or resume:
        folder.check_free(resume)
    notes: tuple[str, ...] = ()
    if resume and folder.config.exists():
        config, notes = folder.continued(config)
    use_devices(config)  # Before data and metrics are made, as several workers must.
    prepared = recipe_of(config).prepare(config, folder.kept_split() if resume else None)
    config = prepared.config
    if resume and folder.config.exists():
        folder.check_same(config)
        if folder.report.exists():
            report = Report.read(folder.report)
            if report.steps >= config.steps:
                return report
    if cluster.is_chief:
        folder.create(prepared)
    try:
        with data_errors():
            result = fit(
                prepared.build,
                prepared.train,
                prepared.validation or prepared.parts("validation"),
                config,
                loss=prepared.loss,
                metrics=prepared.metrics,
                out=folder.path,
                resume=resume,
                init=init,
                progress=progress and cluster.is_chief,
                title=getattr(config, "name", ""),
                notes=(*notes, *prepared.notes),
                on_evaluation=_pictures(prepared) if cluster.is_chief else None,
            )
    except BaseException:
        if cluster.is_chief and not resume:
            folder.remove_unstarted()
        raise
    report, found = _report(config, prepared, result, looks=cluster.is_chief)
    if cluster.is_chief:
        with writing(folder.path, "the report", "Free some space, then use --resume."):
            write_whole(folder.report, report.to_json())
        _write_page(folder, found)
    return report


def _pictures(prepared: Prepared) -> Callable[[int, keras.Model], dict[str, np.ndarray] | None]:
    """Returns what shows some validation images, and what transformers make of them."""
    inputs: Any = None
    failed = False

    def pictures(step: int, model: keras.Model) -> dict[str, np.ndarray] | None:
        nonlocal inputs, failed
        if failed:
            return None
        try:
            if inputs is None:
                x, *_ = next(iter(batches_of(prepared.parts("validation"))))
                inputs = tf.nest.map_structure(lambda values: np.array(values[:_PICTURES]), x)
            return _images_and_crops(picture_images(model, inputs, prepared.interface))
        except Exception as error:  # Training goes on without them.
            failed = True
            print(f"Warning: validation images cannot be shown: {error}", file=sys.stderr)
            return None

    return pictures


def _images_and_crops(shown: list[Picture]) -> dict[str, np.ndarray] | None:
    images = [picture.image for picture in shown if picture.image is not None]
    if not images:
        return None
    views = zip(*(picture.views for picture in shown), strict=True)
    crops = [crop for several in views for crop in np.stack([view.crops for view in several], 1)]
    named = {f"crops_{number + 1}": several for number, several in enumerate(crops)}
    return {"images": np.stack(images), **named}


def _write_page(folder: RunFolder, found: Survey) -> None:
    from stn_tf.experiments.page import write_page

    try:
        write_page(Run(folder.path), found=found)
    except Exception as error:  # The run is complete without it.
        print(f"Warning: {folder.page} could not be drawn: {error}", file=sys.stderr)


def _report(
    config: Any, prepared: Prepared, result: FitResult, *, looks: bool
) -> tuple[Report, Survey]:
    """Returns the outcome, and what was found on the images that it is of."""
    model = result.model
    if config.mixed_precision != "none" or prepared.trains_more:
        # Exported models compute in float32, and have no more outputs than they need: these are
        # measured.
        with dtype_policy("float32"):
            model = recipe_of(config).model(config, prepared.interface)
        model.set_weights(result.model.get_weights())
    found = {part: _survey(model, prepared, part, looks) for part in ("validation", "test")}
    errors = {
        part: None if seen is None or seen.confusion is None else error_percent(seen.confusion)
        for part, seen in found.items()
    }
    test = found["test"]
    figures = None
    if test is not None and test.confusion is None:
        data = prepared.parts("test") or ()
        figures = measure(model, data, loss=prepared.loss, metrics=prepared.metrics)
    report = Report(
        experiment=config.name,
        model=model.name if config.recipe == "images" else config.model,
        error_percent=errors["test"],
        validation_error_percent=errors["validation"],
        steps=result.steps,
        seconds=round(result.seconds, 2),
        images_per_second=round(result.images_per_second, 1),
        seed=config.seed,
        parameters=model.count_params(),
        replicas=result.replicas,
        weights_sha256=weights_sha256(model),
        versions=versions(),
        test_images=None if test is None or test.confusion is None else test.images,
        chosen_step=result.chosen_step,
        input_wait=round(result.input_wait, 4),
        skipped_steps=result.skipped_steps,
        test=figures,
        device=result.notes[0].removeprefix("Device: ").removesuffix("."),
        notes=result.notes[1:],
    )
    return report, test or found["validation"] or NOTHING


def _survey(model: keras.Model, prepared: Prepared, part: str, looks: bool) -> Survey | None:
    """Measures the model on a part, if the data has it; looks at that which is reported on."""
    data = prepared.parts(part)
    if data is None:
        return None
    looks = looks and part == reported_split(prepared)
    given: dict[str, Any] = {"split": part, "names": prepared.names(part)}
    try:
        return survey(model, data, prepared.interface, **given, looks=looks)
    except StnError:
        raise
    except Exception as error:
        if not looks:
            raise
        # What cannot be shown must not cost the result.
        print(f"Warning: what the model looks at cannot be shown: {error}", file=sys.stderr)
        return survey(model, data, prepared.interface, **given, looks=False)
