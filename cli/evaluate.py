"""`stn-tf evaluate`."""

import json
from pathlib import Path

import click

from stn_tf.cli.options import data_dir_option, json_option, run_argument
from stn_tf.cli.quiet import import_tensorflow


@click.command()
@run_argument
@data_dir_option
@click.option(
    "--split",
    type=click.Choice(["test", "validation", "train"]),
    default="test",
    show_default=True,
    help="Which part of the data to measure on.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Where to save the confusion matrix as a picture. [default: RUN/confusion.png]",
)
@json_option
def command(
    run: Path, data_dir: Path | None, split: str, output: Path | None, as_json: bool
) -> None:
    """Measure a trained run on its test images.

    Prints the error and a table of the classes, saves the confusion matrix as a picture, and draws
    RUN/report.html anew where it shows this part of the data. Of a run without classes it prints
    the loss and the metrics.

    \b
    Examples:
      stn-tf evaluate runs/digits-rts-st-cnn-affine
      stn-tf evaluate runs/digits-rts-st-cnn-affine --json
      stn-tf evaluate runs/digits-rts-st-cnn-affine --output confusion.png
      stn-tf evaluate runs/folder --data-dir moved/my-images --split validation
    """
    import_tensorflow()
    from stn_tf import plots
    from stn_tf.experiments import Run, evaluate
    from stn_tf.experiments.class_answers import classifies
    from stn_tf.experiments.evaluation import measure_run, reported_split
    from stn_tf.experiments.page import write_page

    measured = Run(run, data_dir)
    if not classifies(measured.interface):
        figures = measure_run(measured, split)
        told = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        click.echo(json.dumps(figures, indent=2) if as_json else f"{split.capitalize()}: {told}")
        return
    evaluation = evaluate(measured, split)
    output = output or run / "confusion.png"
    plots.save_figure(plots.confusion_figure(evaluation.confusion, evaluation.classes), output)
    page = None
    if split == reported_split(measured.prepared):
        page = write_page(measured, found=evaluation.survey)
    if as_json:
        files = {"picture": str(output), "page": None if page is None else str(page)}
        click.echo(json.dumps({**evaluation.to_dict(), **files}, indent=2))
        return

    from rich.console import Console
    from rich.table import Table

    table = Table(
        "class",
        title=f"{split.capitalize()} error {evaluation.error_percent:.2f} %",
        caption=f"{evaluation.images} images",
    )
    for heading in ("images", "error %", "precision %"):
        table.add_column(heading, justify="right")
    table.add_column("most often taken for")
    for row in evaluation.per_class:
        table.add_row(
            row.name,
            str(row.images),
            f"{row.error_percent:.2f}",
            f"{row.precision_percent:.2f}",
            row.taken_for or "",
        )
    Console().print(table)
    click.echo(f"Confusion matrix: {output}")
    if page is not None:
        click.echo(f"Page: {page}")
