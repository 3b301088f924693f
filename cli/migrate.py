"""`stn-tf migrate`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stn_tf.cli.options import json_option
from stn_tf.cli.quiet import import_tensorflow

if TYPE_CHECKING:
    from stn_tf.export.manifest import ParityRow


@click.command()
@click.argument("saved_model", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder that gets the new version as a sub-folder: 1, then 2, ...",
)
@click.option(
    "--signature",
    default="serving_default",
    show_default=True,
    help="The signature that model.onnx computes.",
)
@click.option("--no-onnx", is_flag=True, help="Write the SavedModel only.")
@click.option(
    "--no-compare",
    is_flag=True,
    help="Do not compare with the original, for machines without the compiled sampler.",
)
@json_option
def command(
    saved_model: Path, out: Path, signature: str, no_onnx: bool, no_compare: bool, as_json: bool
) -> None:
    """Bring a TensorFlow Addons SavedModel to stock TensorFlow and ONNX.

    Every compiled sampler (Addons>Resampler, contrib's Resampler, our own) becomes a function of
    stock operations, so that any TensorFlow and TensorFlow Serving load the model; TensorFlow
    Addons need not be installed. All signatures are compared with the original on random and on
    hard inputs; when one differs, nothing is written. The last line printed is the folder of the
    version.

    \b
    Example:
      stn-tf migrate old/saved_model --out exports/rescued
    """
    import_tensorflow()
    from rich.console import Console

    with Console(stderr=True).status("Replacing and comparing"):
        from stn_tf.export.migration.rescue import migrate

        result = migrate(
            saved_model,
            out,
            signature=signature,
            on_parity=None if as_json else _print_parity,
            compare=not no_compare,
            onnx=not no_onnx,
        )
    if as_json:
        answer = {
            "version_dir": str(result.version_dir),
            "replaced": dict(result.replaced),
            "dropped": result.dropped,
            "not_compared": result.not_compared,
            "parity": [row.model_dump() for row in result.parity],
        }
        click.echo(json.dumps(answer, indent=2))
        return
    nodes = ", ".join(f"{count} {op}" for op, count in result.replaced.items())
    click.echo(f"replaced: {nodes or 'none'}")
    if result.dropped:
        click.echo(f"dropped: {len(result.dropped)} functions and nodes that compute gradients")
    for reason in result.not_compared:
        click.echo(f"not compared: {reason}")
    click.echo(result.version_dir)


# What the columns of the table are called.
_HEADINGS = {
    "sampler": "sampler alone",
    "saved_model": "SavedModel",
    "onnx_runtime": "ONNX RT",
    "onnx_runtime/ours": "ONNX RT, ours",
}


def _print_parity(rows: Sequence["ParityRow"]) -> None:
    """A line for each output, a column for each file; then every comparison that failed."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    candidates = list(dict.fromkeys(row.candidate for row in rows))
    table = Table(title="Largest difference to the original", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("output", no_wrap=True)
    for candidate in candidates:
        table.add_column(_HEADINGS.get(candidate, candidate), justify="right")
    for output in dict.fromkeys(row.output for row in rows):
        texts = []
        for candidate in candidates:
            found = [row for row in rows if (row.output, row.candidate) == (output, candidate)]
            text = f"{max(row.largest_difference for row in found):.1e}" if found else ""
            texts.append(text if all(row.passed for row in found) else f"[red]{text}")
        table.add_row(output, *texts)
    console = Console()
    console.print(table)
    for row in rows:
        if not row.passed:
            console.print(
                f"{row.output} of {row.candidate} on {row.case}: {row.largest_difference:.1e}, "
                f"at most {row.tolerance:.1e} allowed"
            )
