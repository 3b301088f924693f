"""`stn-tf serve`."""

from pathlib import Path
from typing import Any

import click

from stn_tf.cli.listen_options import listen_options
from stn_tf.cli.options import engine_option


@click.command()
@click.argument("model_dirs", metavar="[DIR]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--model_name", default="default", show_default=True, help="For --model_base_path.")
@click.option(
    "--model_base_path", type=click.Path(path_type=Path), help="Folder of a model's versions."
)
@click.option(
    "--model_config_file",
    type=click.Path(path_type=Path),
    help="Several models, as ModelServerConfig in text.",
)
@click.option(
    "--model_config_file_poll_wait_seconds",
    default=0.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Between looks at that file for changes; 0 for one look at the start.",
)
@click.option(
    "--file_system_poll_wait_seconds",
    default=1.0,
    show_default=True,
    help="Between looks for new versions; 0 for one look at the start.",
)
@click.option("--enable_batching", is_flag=True, help="Compute waiting requests together.")
@click.option(
    "--batching_parameters_file",
    type=click.Path(path_type=Path),
    help="BatchingParameters in text.",
)
@click.option(
    "--strict-shapes",
    is_flag=True,
    help="Refuse inputs that have not the shape of their signature; else the model decides.",
)
@click.option("--enable_model_warmup", default=True, show_default=True, type=bool)
@click.option("--allow_version_labels_for_unavailable_models", is_flag=True)
@click.option("--threads", type=int, help="Threads of one computation.  [default: all cores]")
@click.option(
    "--request_log",
    type=click.Path(path_type=Path),
    help="Folder for requests and answers, in files that versions can be warmed up with.",
)
@click.option(
    "--request_log_sampling",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Share of the requests that are logged.",
)
@click.option(
    "--request_log_file_bytes",
    default=64 * 2**20,
    show_default=True,
    type=click.IntRange(min=1),
    help="Size at which a file of the log is followed by the next.",
)
@click.option(
    "--request_log_files",
    default=16,
    show_default=True,
    type=click.IntRange(min=1),
    help="Files kept of each model; the oldest go.",
)
@engine_option
@listen_options
def command(
    model_dirs: tuple[Path, ...],
    model_name: str,
    model_base_path: Path | None,
    **choices: Any,
) -> None:
    """Serve exported models over gRPC and REST.

    Requests and answers are those of TensorFlow Serving. Each DIR is a folder of versions, served
    under its own name. Flags have the names that they have in tensorflow_model_server. SIGTERM
    lets requests in flight finish.

    \b
    Examples:
      stn-tf serve exports/digits
      stn-tf serve --port 8500 --rest_api_port 8501 --model_config_file models.config
    """
    from stn_tf.serving.models.model_config import ModelConfig
    from stn_tf.serving.server.options import Listening, ServerOptions
    from stn_tf.serving.server.run import serve

    models = [ModelConfig(path.resolve().name, path.resolve()) for path in model_dirs]
    if model_base_path is not None:
        models.append(ModelConfig(model_name, model_base_path.resolve()))
    if not models and choices["model_config_file"] is None:
        raise click.UsageError("Give a DIR, --model_base_path or --model_config_file.")
    if models and choices["model_config_file"] is not None:
        raise click.UsageError("--model_config_file names all models: leave the others out.")

    def ready(where: Listening) -> None:
        click.echo(
            f"Serving gRPC on port {where.port}, REST on port {where.rest_api_port}", err=True
        )

    serve(ServerOptions(models=models, **choices), ready=ready)
