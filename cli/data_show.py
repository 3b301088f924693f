"""`stn-tf data show`."""

import json
from pathlib import Path

import click

from stn_tf.cli.quiet import import_tensorflow

_FORMATS = (".png", ".svg", ".pdf")


@click.command()
@click.argument("data_dir", metavar="DATA", type=click.Path(path_type=Path))
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="Picture to write: .png, .svg or .pdf.",
)
@click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Change a setting of training, such as augment=strong, image_size=128 or seed=1. "
    "Repeatable.",
)
@click.option(
    "--images",
    type=click.IntRange(min=1),
    default=6,
    show_default=True,
    help="How many images to draw, a row each.",
)
@click.option(
    "--versions",
    type=click.IntRange(min=1),
    default=6,
    show_default=True,
    help="How often each is augmented.",
)
def command(
    data_dir: Path, output: Path, overrides: tuple[str, ...], images: int, versions: int
) -> None:
    """Draw images as training sees them.

    DATA is a folder of images as for `stn-tf train folder`, a table of them, or packed shards. Each
    row is an image from the training part: first as evaluation and a server see it, then as
    training does, differently each time.

    \b
    Examples:
      stn-tf data show photographs --output augmented.png
      stn-tf data show photographs --output strong.png --set augment=strong
      stn-tf data show scans --output mine.png --set 'augment={flip="none", rotate=3}'
    """
    if output.suffix.lower() not in _FORMATS:
        raise click.BadParameter(
            f"{str(output)!r} must end in one of {', '.join(_FORMATS)}.", param_hint="--output"
        )
    from stn_tf.experiments import load_experiment

    # A JSON string is a TOML string too, so that no name of a folder is read as a number.
    given = f"data_dir={json.dumps(str(data_dir), ensure_ascii=False)}"
    config = load_experiment("folder", [*overrides, given])
    import_tensorflow()
    from stn_tf import plots
    from stn_tf.experiments.images_preview import preview_images

    shown, classes, summary = preview_images(config, images=images, versions=versions)
    figure = plots.contact_sheet_figure(
        shown.originals,
        shown.versions,
        labels=[classes[label] for label in shown.labels],
        title=summary,
    )
    click.echo(summary)
    click.echo(plots.save_figure(figure, output))
