"""`stn-tf plot`."""

from pathlib import Path

import click

from stn_tf.cli.options import engine_option, images_argument, model_argument
from stn_tf.cli.quiet import import_tensorflow

_FORMATS = (".png", ".svg", ".pdf")


@click.command()
@model_argument
@images_argument
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="Picture to write: .png, .svg or .pdf.",
)
@click.option(
    "--count",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="How many images to draw.",
)
@engine_option
def command(
    model_dir: Path, images: tuple[Path, ...], output: Path, count: int, engine: str
) -> None:
    """Draw where an exported model looks.

    DIR is what `stn-tf export` wrote, IMAGES as for `stn-tf predict`. Each image is drawn with the
    sampling grid of the first spatial transformer that reads it, beside the crops and what the
    model says.

    \b
    Example:
      stn-tf plot exports/digits photos/ --output look.png
    """
    if output.suffix.lower() not in _FORMATS:
        raise click.BadParameter(
            f"{str(output)!r} must end in one of {', '.join(_FORMATS)}.", param_hint="--output"
        )
    from stn_tf.serving.models import choose_engine, load_engine

    version_dir, engine = choose_engine(model_dir, engine)
    import_tensorflow()  # Also for ONNX: the sampling grid is drawn by the library's geometry.
    from stn_tf import plots
    from stn_tf.serving.jobs.picture import picture

    figure = picture(load_engine(version_dir, engine), images, count=count)
    click.echo(plots.save_figure(figure, output))
