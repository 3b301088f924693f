"""`stn-tf migrate`."""

import json
from functools import partial
from pathlib import Path

import click

from stn_tf.cli.options import json_option, out_option
from stn_tf.cli.parity import print_parity
from stn_tf.cli.quiet import import_tensorflow


@click.command()
@click.argument("saved_model", type=click.Path(path_type=Path))
@out_option
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
            on_parity=None if as_json else partial(print_parity, original="original"),
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
