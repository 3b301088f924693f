"""`stn-tf export`."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stn_tf.cli.options import data_dir_option, json_option, out_option
from stn_tf.cli.parity import print_parity
from stn_tf.cli.quiet import import_tensorflow

if TYPE_CHECKING:
    from stn_tf.export.publish.manifest import Accuracy


def numbers(_: click.Context, option: click.Parameter, text: str | None) -> Any:
    """Reads numbers separated by commas."""
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} must be numbers separated by commas.") from None


def sizes(_: click.Context, option: click.Parameter, text: str | None) -> Any:
    """Reads the sizes of an image: 224,224,3, with ? where any will do."""
    if text is None:
        return None
    parts = [part.strip() for part in text.replace("x", ",").split(",")]
    try:
        return tuple(None if part in ("?", "None", "-1") else int(part) for part in parts)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} must be sizes such as 224,224,3, with ? where any will do."
        ) from None


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
    "--format",
    "formats",
    default="saved_model,onnx",
    show_default=True,
    help="Which files are written: saved_model, onnx, litert, separated by commas.",
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
    "--task",
    type=click.Choice(
        [
            *("classification", "binary", "multilabel"),
            *("regression", "embedding", "dense", "none"),
        ]
    ),
    help="What the outputs mean.  [default: what the graph proves, or none]",
)
@click.option(
    "--classes",
    help="Names of the classes in the order of the outputs: separated by commas, or a text file "
    "with one a line.",
)
@click.option(
    "--input-range",
    nargs=2,
    type=float,
    metavar="BLACK WHITE",
    help="What black and white are for the model: 0 1, 0 255 or -1 1.",
)
@click.option("--input-mean", callback=numbers, help="Subtracted after that, one or one a channel.")
@click.option("--input-std", callback=numbers, help="Divided by after that, one or one a channel.")
@click.option(
    "--input-shape",
    callback=sizes,
    metavar="H,W,C",
    help="The shape of one image, ? where any size will do.  [default: the model's]",
)
@click.option(
    "--resize",
    type=click.Choice(["letterbox", "squash", "center_crop"]),
    help="How images of another size are fitted: whole with a border, stretched, or filled and "
    "cut off.  [default: letterbox]",
)
@click.option("--name", help="What the model is called.  [default: its own name]")
@click.option(
    "--tolerance",
    type=float,
    help="What the outputs may differ by, relative to the largest.  [default: 1e-4]",
)
@click.option(
    "--images",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Images, folders or arrays to compare on and to calibrate int8 with.  [default: a run's "
    "own, or made-up ones]",
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
@data_dir_option
@json_option
def command(
    source: Path,
    out: Path,
    target: str,
    sampler: str | None,
    opset: int | None,
    precision: Any,
    formats: str,
    max_accuracy_drop: float,
    xla: bool,
    signature: str,
    classes: str | None,
    name: str | None,
    tolerance: float | None,
    images: tuple[Path, ...],
    triton: Path | None,
    serving_config: Path | None,
    data_dir: Path | None,
    as_json: bool,
    **declared: Any,
) -> None:
    """Write a model as SavedModel, ONNX and LiteRT.

    SOURCE is a run, a .keras file or a SavedModel. The new version holds a SavedModel for
    TensorFlow Serving with warm-up requests, model.onnx, a manifest, and model.tflite if asked for.
    The model's own outputs leave unchanged; `probabilities` and `class` are added where the task is
    known. The files are compared with SOURCE on images and on hard cases; when one differs, nothing
    is written. What was decided for you is said in a line each, with the option that changes it.
    The last line printed is the folder of the version.

    \b
    Examples:
      stn-tf export runs/digits-rts-st-cnn-affine --out exports/digits
      stn-tf export model.keras --out exports/mine --images photos/ --input-range 0 255
      stn-tf export model.keras --out exports/tags --task multilabel --classes tags.txt
    """
    import_tensorflow()
    from rich.console import Console

    with Console(stderr=True).status("Converting and comparing"):
        from stn_tf.export import ExportOptions, OnnxOptions, export_model, export_run
        from stn_tf.export.source.load import is_run, load_network

        options = ExportOptions(
            onnx=OnnxOptions(target=target, sampler=sampler, opset=opset),
            precision=precision,
            max_accuracy_drop=max_accuracy_drop,
            xla=xla,
            formats=tuple(dict.fromkeys(name.strip() for name in formats.split(","))),
        )
        declared["classes"] = _names(classes)
        given = {key: value for key, value in declared.items() if value is not None}
        choices: dict[str, Any] = {
            "images": images or None,
            "name": name,
            "tolerance": tolerance,
            "options": options,
            "on_parity": None if as_json else print_parity,
            "on_note": lambda note: click.echo(f"Note: {note}", err=True),
        }
        if is_run(source):
            result = export_run(source, out, data_dir=data_dir, **choices, **given)
        else:
            if data_dir is not None:
                raise click.UsageError("--data-dir is for runs. Give --images instead.")
            network = load_network(source, signature=signature, **given)
            result = export_model(network, out, **choices)
    served = out.resolve().name
    if triton is not None:
        from stn_tf.export.fleet.triton import write_model_repository

        write_model_repository(result.version_dir, triton, name=served)
    if serving_config is not None:
        from stn_tf.export.fleet.serving_config import write_batching_parameters, write_model_config

        serving_config.mkdir(parents=True, exist_ok=True)
        write_model_config(serving_config / "models.config", {served: out})
        write_batching_parameters(serving_config / "batching.config")
    rows_of_samplers = ("grid_sample", " warp")
    if not any(row.output.endswith(rows_of_samplers) for row in result.manifest.parity):
        click.echo("Note: the model has no sampler; it was exported as it is.", err=True)
    if as_json:
        rows = [row.model_dump() for row in result.manifest.parity]
        accuracy = result.manifest.accuracy and result.manifest.accuracy.model_dump()
        found = {
            "version_dir": str(result.version_dir),
            "notes": list(result.notes),
            "accuracy": accuracy,
            "parity": rows,
        }
        click.echo(json.dumps(found, indent=2))
    else:
        if result.manifest.accuracy is not None:
            _print_accuracy(result.manifest.accuracy, precision)
        click.echo(result.version_dir)


def _names(classes: str | None) -> tuple[str, ...] | None:
    """The names of the classes: a file with one a line, or separated by commas."""
    if classes is None:
        return None
    # A list of names may be longer than a path, and is then no file.
    if os.path.isfile(classes):
        lines = Path(classes).read_text("utf-8").splitlines()
        return tuple(line.strip() for line in lines if line.strip())
    return tuple(name.strip() for name in classes.split(","))


def _print_accuracy(accuracy: "Accuracy", precision: str) -> None:
    what = "error" if accuracy.labelled else "classes other than those of the live model"
    click.echo(
        f"{precision}: {accuracy.error_percent:.2f} % {what}, float32 "
        f"{accuracy.float32_error_percent:.2f} %, on {accuracy.images} images; largest difference "
        f"of logits {accuracy.largest_difference:.1e}"
    )
