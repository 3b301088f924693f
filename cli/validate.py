"""`stn-tf validate`."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stn_tf.cli.options import json_option
from stn_tf.cli.parity import print_parity
from stn_tf.cli.quiet import import_tensorflow

if TYPE_CHECKING:
    from stn_tf.export.proof.runtimes.onnx_runtime import Placement
    from stn_tf.export.proof.validation import Validation


@click.command()
@click.argument("version_dir", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--provider",
    default="cpu",
    show_default=True,
    type=click.Choice(["cpu", "cuda"]),
    help="Where ONNX Runtime computes.",
)
@click.option(
    "--runtime",
    "runtimes",
    multiple=True,
    type=click.Choice(["tensorflow", "onnxruntime", "openvino", "litert"]),
    help="What loads the files; several times for several. Those that the files are for, if none.",
)
@json_option
def command(version_dir: Path, provider: str, runtimes: tuple[str, ...], as_json: bool) -> None:
    """Compare an exported version with what its model said.

    DIR is a version directory, or the folder above, of which the highest version is taken. Its
    files are loaded where they are, as they come, and compared with the answers that the live model
    gave when it was exported, and with their hashes; it is shown on which provider ONNX Runtime
    runs each node. The exit status is 1 when anything differs.

    \b
    Example:
      stn-tf validate exports/digits
      stn-tf validate exports/digits --runtime openvino
    """
    if not runtimes or "tensorflow" in runtimes:
        import_tensorflow()
    from stn_tf.export.proof.validation import validate
    from stn_tf.serving.models import find_version

    found = validate(find_version(version_dir), runtimes=runtimes, provider=provider)
    if as_json:
        report = {
            "passed": found.passed,
            "changed": found.changed,
            "placement": None if found.placement is None else dataclasses.asdict(found.placement),
            "left_out": found.left_out,
            "parity": [row.model_dump() for row in found.parity],
        }
        click.echo(json.dumps(report, indent=2))
    else:
        _print(found)
    if not found.passed:
        sys.exit(1)


def _print(found: "Validation") -> None:
    print_parity(found.parity)
    if found.placement is not None:
        _print_placement(found.placement)
    for line in found.left_out:
        click.echo(line)
    for name in found.changed:
        click.echo(f"changed since the export: {name}")


def _print_placement(placement: "Placement") -> None:
    for provider, kinds in placement.nodes.items():
        nodes = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        click.echo(f"{provider}: {nodes}")
    click.echo(f"samplers on {', '.join(placement.samplers) or 'no provider: there are none'}")
    if placement.copies:
        click.echo(f"{placement.copies} copies between devices")
