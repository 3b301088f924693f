"""`stn-tf benchmark`."""

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stn_tf.cli.options import json_option
from stn_tf.cli.quiet import import_tensorflow

if TYPE_CHECKING:
    from stn_tf.export.proof.benchmark import Timing

_NAMES = {
    "saved_model": "TensorFlow",
    "onnx_runtime": "ONNX Runtime",
    "onnx_runtime/ours": "with our library",
    "openvino": "OpenVINO",
    "openvino/float32": "OpenVINO, float32",
    "litert": "LiteRT",
}


@click.command()
@click.argument("version_dir", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--runtime",
    "runtimes",
    multiple=True,
    type=click.Choice(["tensorflow", "onnxruntime", "openvino", "litert"]),
    help="What runs the files; several times for several.  [default: all that are installed]",
)
@click.option(
    "--batch",
    "batches",
    multiple=True,
    type=click.IntRange(min=1),
    help="Images a request; several times for several.  [default: 1 and 32]",
)
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    type=click.Choice(["float16", "int8"]),
    help="Time the ONNX file in this precision too; several times for several.",
)
@click.option(
    "--threads",
    default=0,
    type=click.IntRange(min=0),
    help="That a request may use.  [default: what each runtime chooses]",
)
@click.option(
    "--seconds",
    default=0.3,
    show_default=True,
    type=click.FloatRange(min=0.01),
    help="For a file, a batch and a round; there are five rounds.",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Test images: a folder with one sub-folder for each class.",
)
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    help="The run that was exported: its own test images are taken.",
)
@click.option(
    "--count", default=1000, show_default=True, type=click.IntRange(min=1), help="Of test images."
)
@click.option(
    "--output", type=click.Path(path_type=Path), help="A file that gets the result as JSON."
)
@json_option
def command(
    version_dir: Path,
    runtimes: tuple[str, ...],
    batches: tuple[int, ...],
    precisions: tuple[str, ...],
    threads: int,
    seconds: float,
    images: Path | None,
    run: Path | None,
    count: int,
    output: Path | None,
    as_json: bool,
) -> None:
    """Time an exported version in the runtimes that are here.

    DIR is a version directory, or the folder above, of which the highest version is taken. For each
    of its files and each runtime: milliseconds a request, median of five rounds in turn, so that
    what else the machine does meets all; size; error on test images, if there are any; largest
    difference to the live model; and on what its nodes run.

    \b
    Examples:
      stn-tf benchmark exports/digits
      stn-tf benchmark exports/digits --run runs/digits --threads 1 --output timings.json
    """
    if images is not None and run is not None:
        raise click.UsageError("--images and --run name different test images. Give one of them.")
    from stn_tf.export.proof.benchmark import BATCHES, benchmark, labelled_images
    from stn_tf.export.publish.manifest import read_manifest
    from stn_tf.serving.models import find_version

    folder = find_version(version_dir)
    if run is not None or not runtimes or "tensorflow" in runtimes:
        if threads:  # Read when TensorFlow starts.
            os.environ["TF_NUM_INTRAOP_THREADS"] = str(threads)
        import_tensorflow()
    examples = None
    if images is not None:
        examples = labelled_images(read_manifest(folder).interface, images, count)
    elif run is not None:
        from stn_tf.experiments import Run

        examples = Run(run).examples("test", count=count)
    found = benchmark(
        folder,
        runtimes=runtimes,
        batches=batches or BATCHES,
        precisions=precisions,
        threads=threads,
        seconds=seconds,
        examples=examples,
        say=lambda text: click.echo(text, err=True),
    )
    report = json.dumps([dataclasses.asdict(one) for one in found], indent=2)
    if output is not None:
        output.write_text(report + "\n", encoding="utf-8")
    if as_json:
        click.echo(report)
    else:
        _print(found)
        if examples is None:
            click.echo("No error: give test images with --images or --run.")


def _print(found: Sequence["Timing"]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    batches = sorted({batch for one in found for batch in one.milliseconds})
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("runtime")
    for text in (
        "MB",
        *(f"ms,\nbatch {batch}" for batch in batches),
        "error,\n%",
        "largest\ndiff.",
    ):
        table.add_column(text, justify="right")
    table.add_column("where")
    for one in found:
        if one.refused:
            continue
        numbers = [f"{one.milliseconds[batch]:.2f}" for batch in batches]
        error = "" if one.error_percent is None else f"{one.error_percent:.2f}"
        difference = f"{one.largest_difference:.1e}"
        runtime, _, precision = one.name.partition(" ")
        name = f"{_NAMES.get(runtime, runtime)} {precision}".strip()
        table.add_row(name, f"{one.megabytes:.1f}", *numbers, error, difference, one.where)
    Console().print(table)
    for one in found:
        if one.refused:
            click.echo(f"{one.name}: {one.refused}")
