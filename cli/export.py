"""`stn-tf export`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from stn_tf.export.manifest import ParityRow


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder that gets the new version as a sub-folder: 1, then 2, ...",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(run: Path, out: Path, as_json: bool) -> None:
    """Write the network of RUN as SavedModel and ONNX.

    Both files are compared with the network before the version appears; nothing is written
    when one of them differs. The version's folder is the last line printed.

    \b
    stn-tf export runs/digits --out exports/digits
    """
    from stn_tf.export import export_run

    result = export_run(run, out, on_parity=None if as_json else _print_parity)
    if as_json:
        rows = [row.model_dump() for row in result.manifest.parity]
        click.echo(json.dumps({"version_dir": str(result.version_dir), "parity": rows}, indent=2))
    else:
        click.echo(result.version_dir)


def _print_parity(rows: Sequence["ParityRow"]) -> None:
    """A line for each output, a column for each file; then every comparison that failed."""
    from rich.console import Console
    from rich.table import Table

    cells: dict[str, dict[str, list[ParityRow]]] = {}
    for row in rows:
        cells.setdefault(row.output, {}).setdefault(row.candidate, []).append(row)
    candidates = list(dict.fromkeys(row.candidate for row in rows))
    table = Table("largest difference", *candidates, "tolerance")
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
