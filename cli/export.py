"""`stn-tf export`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stn_tf.cli.options import json_option, run_argument
from stn_tf.cli.quiet import import_tensorflow

if TYPE_CHECKING:
    from stn_tf.export.manifest import ParityRow


@click.command()
@run_argument
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder that gets the new version as a sub-folder: 1, then 2, ...",
)
@json_option
def command(run: Path, out: Path, as_json: bool) -> None:
    """Write a run as SavedModel and ONNX.

    The new version holds a SavedModel for TensorFlow Serving, model.onnx for ONNX Runtime,
    warm-up requests and a manifest. Both models are compared with the network of RUN on test
    images and on hard cases; when one differs, nothing is written. The last line printed is the
    folder of the version.

    \b
    Example:
      stn-tf export runs/digits-rts-st-cnn-affine --out exports/digits
    """
    import_tensorflow()
    from rich.console import Console

    with Console(stderr=True).status("Converting and comparing"):
        from stn_tf.export import export_run

        result = export_run(run, out, on_parity=None if as_json else _print_parity)
    if as_json:
        rows = [row.model_dump() for row in result.manifest.parity]
        click.echo(json.dumps({"version_dir": str(result.version_dir), "parity": rows}, indent=2))
    else:
        click.echo(result.version_dir)


# What the columns of the table are called.
_HEADINGS = {
    "saved_model": "SavedModel",
    "saved_model/serving_bytes": "bytes",
    "onnx_runtime": "ONNX RT",
    "onnx_reference": "ONNX ref.",
}


def _print_parity(rows: Sequence["ParityRow"]) -> None:
    """A line for each output, a column for each file; then every comparison that failed."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    cells: dict[str, dict[str, list[ParityRow]]] = {}
    for row in rows:
        cells.setdefault(row.output, {}).setdefault(row.candidate, []).append(row)
    candidates = list(dict.fromkeys(row.candidate for row in rows))
    table = Table(title="Largest difference to the live model", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("output", no_wrap=True)
    for heading in (*(_HEADINGS.get(name, name) for name in candidates), "allowed"):
        table.add_column(heading, justify="right")
    for output, by_candidate in cells.items():
        texts = []
        for candidate in candidates:
            found = by_candidate.get(candidate, [])
            text = f"{max(row.largest_difference for row in found):.1e}" if found else ""
            texts.append(text if all(row.passed for row in found) else f"[red]{text}")
        tolerance = min(row.tolerance for found in by_candidate.values() for row in found)
        table.add_row(output, *texts, f"{tolerance:.0e}")
    console = Console()
    console.print(table)
    for row in rows:
        if not row.passed:
            console.print(
                f"{row.output} of {row.candidate} on {row.case}: {row.largest_difference:.1e}, "
                f"at most {row.tolerance:.0e} allowed"
            )
