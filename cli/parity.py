"""The comparison of exported files as a table."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stn_tf.export.publish.manifest import ParityRow

# What the columns of the table are called.
_HEADINGS = {
    "saved_model": "Saved Model",
    "saved_model/serving_bytes": "bytes",
    "onnx_runtime": "ONNX RT",
    "onnx_runtime/unoptimised": "RT plain",
    "onnx_runtime/ours": "with ours",
    "onnx_runtime/cuda": "CUDA",
    "onnx_reference": "ONNX ref.",
    "openvino": "OpenVINO",
    "openvino/float32": "OpenVINO float32",
    "litert": "LiteRT",
}


def print_parity(rows: Sequence["ParityRow"], original: str = "live model") -> None:
    """A line for each output, a column for each file; then every comparison that failed.

    Args:
        rows: The comparison.
        original: What the files were compared with.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    cells: dict[str, dict[str, list[ParityRow]]] = {}
    for row in rows:
        cells.setdefault(row.output, {}).setdefault(row.candidate, []).append(row)
    candidates = list(dict.fromkeys(row.candidate for row in rows))
    title = f"Largest difference to the {original}"
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    table.add_column("output", no_wrap=True)
    for title in (*(_HEADINGS.get(name, name) for name in candidates), "allowed"):
        # In two lines, so that the numbers of every file fit on 80 columns.
        table.add_column(title.replace(" ", "\n"), justify="right", min_width=7)
    for output, by_candidate in cells.items():
        texts = []
        for candidate in candidates:
            found = by_candidate.get(candidate, [])
            text = f"{max(row.largest_difference for row in found):.1e}" if found else ""
            texts.append(text if all(row.passed for row in found) else f"[red]{text}")
        tolerance = max(row.tolerance for found in by_candidate.values() for row in found)
        table.add_row(output, *texts, f"{tolerance:.0e}")
    console = Console()
    console.print(table)
    for row in rows:
        if not row.passed:
            console.print(
                f"{row.output} of {row.candidate} on {row.case}: {row.largest_difference:.1e}, "
                f"at most {row.tolerance:.0e} allowed"
            )
