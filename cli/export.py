"""`stn-tf export`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stn_tf.cli.options import json_option, out_option
from stn_tf.cli.parity import print_parity
from stn_tf.cli.quiet import import_tensorflow

if TYPE_CHECKING:
    import numpy as np

    from stn_tf.export.manifest import Accuracy
    from stn_tf.export.network import Network


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@out_option
@click.option(
    "--target",
    default="any",
    show_default=True,
    type=click.Choice(["any", "ort-cpu", "ort-cuda", "tensorrt", "openvino", "coreml"]),
    help="The runtime that model.onnx is for.",
)
@click.option(
    "--sampler",
    type=click.Choice(["dual", "standard", "custom"]),
    help="dual: our operation, with a function of standard ones for runtimes without it; "
    "standard: GridSample; custom: our operation alone.  [default: what suits the target]",
)
@click.option("--opset", type=int, help="ONNX opset.  [default: 18, or 20 for volumes]")
@click.option(
    "--precision",
    default="float32",
    show_default=True,
    type=click.Choice(["float32", "float16", "int8"]),
    help="Of model.onnx; the sampler stays float32.",
)
@click.option(
    "--max-accuracy-drop",
    default=0.3,
    show_default=True,
    help="Points of accuracy that less precision may cost.",
)
@click.option("--xla", is_flag=True, help="For a TensorFlow Serving that compiles with XLA.")
@click.option(
    "--signature",
    default="serving_default",
    show_default=True,
    help="Of a SavedModel: the signature to export.",
)
@click.option(
    "--images",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Images, folders or arrays to compare on; a run has its own.",
)
@click.option(
    "--triton",
    type=click.Path(path_type=Path),
    help="Also write model.onnx into this Triton model repository.",
)
@click.option(
    "--serving-config",
    type=click.Path(path_type=Path),
    help="Also write models.config and batching.config for TensorFlow Serving into this folder.",
)
@json_option
def command(
    source: Path,
    out: Path,
    signature: str,
    images: tuple[Path, ...],
    triton: Path | None,
    serving_config: Path | None,
    as_json: bool,
    **choices: Any,
) -> None:
    """Write a model as SavedModel and ONNX.

    SOURCE is a run, a .keras file or a SavedModel. The new version holds a SavedModel for
    TensorFlow Serving, model.onnx, warm-up requests and a manifest. Both models are compared with
    SOURCE on images and on hard cases; when one differs, nothing is written. The last line printed
    is the folder of the version.

    \b
    Examples:
      stn-tf export runs/digits-rts-st-cnn-affine --out exports/digits
      stn-tf export model.keras --out exports/mine --images photos/ --target tensorrt
    """
    import_tensorflow()
    from rich.console import Console

    with Console(stderr=True).status("Converting and comparing"):
        from stn_tf.export import ExportOptions, OnnxOptions, export_model, export_run

        onnx = OnnxOptions(**{key: choices.pop(key) for key in ("target", "sampler", "opset")})
        options = ExportOptions(onnx=onnx, **choices)
        show = None if as_json else print_parity
        from stn_tf.export.source import is_run

        if is_run(source):
            if images:
                raise click.UsageError("--images is for other sources: a run has test images.")
            result = export_run(source, out, options=options, on_parity=show)
        else:
            from stn_tf.export import load_network

            network = load_network(source, signature=signature)
            result = export_model(
                network, out, images=_read_images(network, images), options=options, on_parity=show
            )
    name = out.resolve().name
    if triton is not None:
        from stn_tf.export.triton import write_model_repository

        write_model_repository(result.version_dir, triton, name=name)
    if serving_config is not None:
        from stn_tf.export.serving_config import write_batching_parameters, write_model_config

        serving_config.mkdir(parents=True, exist_ok=True)
        write_model_config(serving_config / "models.config", {name: out})
        write_batching_parameters(serving_config / "batching.config")
    if all(row.output != "grid_sample" for row in result.manifest.parity):
        click.echo("Note: the model has no sampler; it was exported as it is.", err=True)
    if as_json:
        rows = [row.model_dump() for row in result.manifest.parity]
        accuracy = result.manifest.accuracy and result.manifest.accuracy.model_dump()
        found = {"version_dir": str(result.version_dir), "accuracy": accuracy, "parity": rows}
        click.echo(json.dumps(found, indent=2))
    else:
        if result.manifest.accuracy is not None:
            _print_accuracy(result.manifest.accuracy, options.precision)
        click.echo(result.version_dir)


def _read_images(network: "Network", paths: Sequence[Path]) -> "np.ndarray | None":
    if not paths:
        return None
    import numpy as np

    from stn_tf.serving.jobs.inputs import find_inputs

    (spec, *more) = network.inputs.values()
    if more or spec.shape.rank != 4:
        raise click.UsageError("--images is for models that take one batch of images.")
    height, width, channels = spec.shape[1:]
    found = find_inputs(paths, (height, width, channels), ())
    return np.concatenate([batch.images for batch in found.batches(64)])


def _print_accuracy(accuracy: "Accuracy", precision: str) -> None:
    what = "error" if accuracy.labelled else "classes other than those of the live model"
    click.echo(
        f"{precision}: {accuracy.error_percent:.2f} % {what}, float32 "
        f"{accuracy.float32_error_percent:.2f} %, on {accuracy.images} images; largest difference "
        f"of logits {accuracy.largest_difference:.1e}"
    )
