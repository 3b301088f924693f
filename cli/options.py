"""Arguments and options that several commands share."""

from pathlib import Path

import click

run_argument = click.argument("run", type=click.Path(path_type=Path))

out_option = click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder that gets the new version as a sub-folder: 1, then 2, ...",
)

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON, for programs."
)

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="The data: a folder with one sub-folder of images per class, or with train/, val/, test/; "
    "a CSV or Parquet table; TFRecord files; MNIST's four idx files.",
)


model_argument = click.argument("model_dir", metavar="DIR", type=click.Path(path_type=Path))

images_argument = click.argument(
    "images", metavar="IMAGES...", nargs=-1, required=True, type=click.Path(path_type=Path)
)

engine_option = click.option(
    "--engine",
    type=click.Choice(["auto", "onnx", "saved_model"]),
    default="auto",
    show_default=True,
    help="ONNX Runtime, TensorFlow, or ONNX Runtime where the version has an ONNX file.",
)
