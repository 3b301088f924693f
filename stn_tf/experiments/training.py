"""From settings to a finished run folder."""

from pathlib import Path
from typing import Any

from stn_tf.experiments.evaluation import confusion, error_percent, predictor
from stn_tf.experiments.recipes import recipe_of
from stn_tf.experiments.report import Report, versions, weights_sha256
from stn_tf.experiments.run_folder import RunFolder
from stn_tf.recipe import Prepared
from stn_tf.training import FitResult, fit
from stn_tf.training.config import FitConfig
from stn_tf.training.files import write_whole, writing
from stn_tf.training.policy import dtype_policy
from stn_tf.training.strategy import read_cluster


def train(
    config: FitConfig,
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
    result = fit(
        prepared.build,
        prepared.train,
        prepared.parts("validation"),
        config,
        loss=prepared.loss,
        metrics=prepared.metrics,
        out=folder.path,
        resume=resume,
        init=init,
        progress=progress and cluster.is_chief,
        title=getattr(config, "name", ""),
        notes=prepared.notes,
    )
    report = _report(config, prepared, result)
    if cluster.is_chief:
        with writing(folder.path, "the report", "Free some space, then use --resume."):
            write_whole(folder.report, report.to_json())
    return report


def _report(config: Any, prepared: Prepared, result: FitResult) -> Report:
    model = result.model
    if config.mixed_precision != "none":
        # Exported models compute in float32, so this is what is measured.
        with dtype_policy("float32"):
            model = recipe_of(config).model(config, prepared.interface)
        model.set_weights(result.model.get_weights())
    predict = predictor(model)
    errors: dict[str, float | None] = {}
    images = None
    for part in ("validation", "test"):
        dataset = prepared.parts(part)
        errors[part] = None
        if dataset is not None and prepared.interface.class_names:
            counts = confusion(predict, dataset, len(prepared.interface.class_names))
            errors[part] = error_percent(counts)
            images = int(counts.sum())
    return Report(
        experiment=config.name,
        model=model.name,
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
        test_images=images,
        chosen_step=result.chosen_step,
        input_wait=round(result.input_wait, 4),
        skipped_steps=result.skipped_steps,
    )
