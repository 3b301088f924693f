"""`stn-tf demo`."""

import sys
from pathlib import Path

import click

from stn_tf.cli.quiet import import_tensorflow


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Folder for the run, the export, the predictions and the picture.",
)
@click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Change a setting of the training, such as steps=200. Repeatable.",
)
def command(out: Path, overrides: tuple[str, ...]) -> None:
    """Train, export and predict on real digits, end to end.

    Trains the experiment digits-rts, exports it, predicts on held-out images with both exported
    files, prints one table, and saves a picture of where the network looks. The exit status is 1
    if the errors differ.

    \b
    Example:
      stn-tf demo --out demo
    """
    import_tensorflow()
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    from stn_tf import plots
    from stn_tf.experiments import Run, load_experiment, train
    from stn_tf.export import export_run
    from stn_tf.serving.jobs import predict
    from stn_tf.serving.jobs.picture import picture
    from stn_tf.serving.models import load_engine

    progress = Console(stderr=True)
    run_dir = _next(out / "run")
    progress.print(f"Training digits-rts in {run_dir}")
    train(load_experiment("digits-rts", overrides), run_dir)

    run = Run(run_dir)
    images, labels = run.examples("test")
    logits = np.asarray(run.load_model()(images, training=False))
    error = 100.0 * int(np.sum(logits.argmax(axis=-1) != labels)) / len(labels)
    with progress.status("Exporting and comparing"):
        version_dir = export_run(run_dir, out / "export").version_dir
    held_out = out / "held_out.npz"
    np.savez(held_out, images=images, labels=labels)

    table = Table("network", title=f"{len(images)} held-out digits, turned, scaled and moved")
    table.add_column("error %", justify="right")
    table.add_column("largest difference of logits", justify="right")
    table.add_row("live model", f"{error:.2f}", "")
    errors = {error}
    for name, title in (("saved_model", "SavedModel"), ("onnx", "ONNX")):
        engine = load_engine(version_dir, name)
        summary = predict(engine, [held_out], out / f"predictions_{name}.csv")
        difference = float(np.abs(engine.run(images)["logits"] - logits).max())
        table.add_row(title, f"{summary.error_percent:.2f}", f"{difference:.1e}")
        errors.add(float(summary.error_percent or 0.0))
    Console().print(table)
    look = plots.save_figure(picture(engine, [held_out]), out / "look.png")
    click.echo(f"Picture: {look}   Model: {version_dir}")
    if len(errors) > 1:
        click.echo("Error: the errors differ.", err=True)
        sys.exit(1)


def _next(path: Path) -> Path:
    """The path itself, or the first of path-2, path-3, ... that does not exist."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free
