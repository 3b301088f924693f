"""`stn-tf predict`."""

import json
import sys
from pathlib import Path

import click

from stn_tf.cli.options import engine_option, images_argument, json_option, model_argument
from stn_tf.cli.quiet import import_tensorflow


@click.command()
@model_argument
@images_argument
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="File to write: .jsonl, .csv or .parquet.",
)
@engine_option
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Images that are computed at once.",
)
@click.option("--probabilities", is_flag=True, help="Add the probabilities of all classes.")
@json_option
def command(
    model_dir: Path,
    images: tuple[Path, ...],
    output: Path,
    engine: str,
    batch_size: int,
    probabilities: bool,
    as_json: bool,
) -> None:
    """Run an exported model over images.

    DIR is what `stn-tf export` wrote. IMAGES are image files, folders of them, and .npy or .npz
    arrays: as the model takes them, or uint8 pixels of its size, channels last. Of an .npz the
    array `images` is read, else `x`, else its only array of images; `labels` or `y` give the error
    of a classifier.

    Writes for each image what the task of the model says: the class and its probability (or all
    classes of 0.5 and more, highest first, with `|` between them in .csv), or else the model's own
    outputs; then theta and the corners of the crop in the pixels of the image file. Image files
    that cannot be decoded are listed, and the exit status is 1; the others are written all the
    same.

    \b
    Examples:
      stn-tf predict exports/digits photos/ --output predictions.csv
      stn-tf predict exports/digits test.npz --output rows.parquet --engine saved_model
    """
    from stn_tf.serving.jobs import predict
    from stn_tf.serving.jobs.rows import FORMATS
    from stn_tf.serving.models import choose_engine, load_engine

    if output.suffix.lower() not in FORMATS:
        raise click.BadParameter(
            f"{str(output)!r} must end in one of {', '.join(FORMATS)}.", param_hint="--output"
        )
    version_dir, engine = choose_engine(model_dir, engine)
    if engine == "saved_model":
        import_tensorflow()
    loaded = load_engine(version_dir, engine)
    summary = predict(loaded, images, output, batch_size=batch_size, probabilities=probabilities)
    if as_json:
        result = {
            "output": str(summary.output),
            "images": summary.images,
            "error_percent": summary.error_percent,
            "model": str(version_dir),
            "engine": loaded.name,
            "seconds": summary.seconds,
            "left_out": summary.left_out,
            "unreadable": [{"file": str(path), "why": why} for path, why in summary.unreadable],
        }
        click.echo(json.dumps(result, indent=2))
    else:
        error = "" if summary.error_percent is None else f", error {summary.error_percent:.2f} %"
        rate = summary.images / summary.seconds
        click.echo(
            f"{summary.output}: {summary.images} images{error} ({loaded.name}, {rate:,.0f}/s)"
        )
    for name, why in summary.left_out.items():
        click.echo(f"Left out: `{name}` {why}.", err=True)
    for path, why in summary.unreadable:
        click.echo(f"Cannot read {click.format_filename(path)}: {why}", err=True)
    bad = len(summary.unreadable)
    if bad:
        click.echo(
            f"Error: {bad} of {summary.images + bad} images cannot be read; "
            f"the rows of the others are in {summary.output}.",
            err=True,
        )
        sys.exit(1)
