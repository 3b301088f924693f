"""`stn-tf data pack`."""

from pathlib import Path

import click


@click.command()
@click.argument("data_dir", metavar="DATA", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder for the shards; it must be new or empty.",
)
@click.option(
    "--data",
    "kind",
    default="auto",
    show_default=True,
    help="What DATA is: auto, folder, cub, table or tfrecord.",
)
@click.option(
    "--shard-megabytes",
    default=128.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="How large a shard grows.",
)
@click.option(
    "--validation-share",
    default=0.1,
    show_default=True,
    help="Of each class, what is set aside to choose by, where DATA has no such part.",
)
@click.option(
    "--test-share",
    default=0.2,
    show_default=True,
    help="Likewise, to report on.",
)
def command(
    data_dir: Path,
    out: Path,
    kind: str,
    shard_megabytes: float,
    validation_share: float,
    test_share: float,
) -> None:
    """Write images as TFRecord shards.

    DATA is a folder of images as for training, or a table of them. The shards hold the files as
    they are, with their names, classes and parts, and train as DATA does; the index beside them is
    for reading at random. A few large files are faster than many small ones on network disks.

    \b
    Example:
      stn-tf data pack photographs --out packed
      stn-tf train folder --data-dir packed --out runs/mine
    """
    from rich.console import Console
    from rich.progress import Progress

    from stn_tf.data.collection import load_collection
    from stn_tf.data.pack import pack

    console = Console(stderr=True)
    collection = load_collection(
        data_dir, kind=kind, validation_share=validation_share, test_share=test_share
    )
    for note in collection.notes:
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("Packing", total=len(collection.listing))
        packed = pack(
            collection,
            out,
            shard_bytes=max(1, int(shard_megabytes * 2**20)),
            on_image=lambda: progress.advance(task),
        )
    click.echo(
        f"{packed.folder}: {packed.images:,} images in {packed.shards:,} shards, "
        f"{packed.bytes / 2**20:,.1f} MiB"
    )
