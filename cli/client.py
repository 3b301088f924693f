"""`stn-tf client`."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from stn_tf.serving.client import Client, Prediction

_ARRAYS = (".npy", ".npz")
_FILE = click.Path(path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Ask a server of models over gRPC or REST.

    It may be `stn-tf serve` or tensorflow_model_server. Results are JSON on standard output.

    \b
    Examples:
      stn-tf client predict photo.png --server http://localhost:8501 --model digits
      stn-tf client status --server grpc://localhost:8500 --model digits
    """


def _server_options(function: Callable[..., None]) -> Callable[..., None]:
    """The options of every command, which make the argument `client`."""

    @functools.wraps(function)
    def run(
        server: str,
        api_key: str | None,
        ca: Path | None,
        certificate: Path | None,
        key: Path | None,
        timeout: float,
        **others: Any,
    ) -> None:
        from stn_tf.serving.client import Client

        with Client(
            server, api_key=api_key, ca=ca, certificate=certificate, key=key, timeout=timeout
        ) as client:
            function(client, **others)

    for option in (
        click.option(
            "--timeout", default=30.0, show_default=True, help="Seconds, with all retries."
        ),
        click.option("--key", type=_FILE, help="PEM file of the certificate's private key."),
        click.option("--certificate", type=_FILE, help="PEM file of a certificate to show."),
        click.option("--ca", type=_FILE, help="PEM file of who signs the server's certificate."),
        click.option("--api-key", envvar="STN_TF_API_KEY", show_envvar=True, help="A key."),
        click.option(
            "--server",
            required=True,
            envvar="STN_TF_SERVER",
            show_envvar=True,
            help="grpc://HOST:8500, grpcs://, unix:/PATH, http://HOST:8501 or https://.",
        ),
    ):
        run = option(run)
    return run


_model = click.option("--model", required=True, help="Name of the model.")
_version = click.option("--version", type=int, help="Version; by default the latest.")
_label = click.option("--label", help="Label of a version, in place of its number.")


@command.command()
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=_FILE)
@_server_options
@_model
@_version
@_label
@click.option(
    "--signature", help="What is computed.  [default: serving_default; images: serving_bytes]"
)
@click.option("--outputs", help="Names of outputs, separated by commas; all by default.")
@click.option("--output", type=_FILE, help="File that gets the outputs: .npz or .json.")
def predict(
    client: "Client",
    inputs: tuple[Path, ...],
    model: str,
    version: int | None,
    label: str | None,
    signature: str | None,
    outputs: str | None,
    output: Path | None,
) -> None:
    """Compute a signature of a model.

    INPUT is one .npy array for a model with one input, one .npz of arrays named like the inputs,
    one .json as TensorFlow Serving's REST API takes it, or any number of image files.

    \b
    Examples:
      stn-tf client predict a.png b.jpg --server http://localhost:8501 --model digits
      stn-tf client predict x.npy --server grpc://localhost:8500 --model digits --output y.npz
    """
    if output is not None and output.suffix not in (".npz", ".json"):
        raise click.BadParameter(
            f"{str(output)!r} must end in .npz or .json.", param_hint="--output"
        )
    place: dict[str, Any] = {"model": model, "version": version, "label": label}
    wanted: dict[str, Any] = {"outputs": outputs.split(",") if outputs else None}
    if signature is not None:
        wanted["signature"] = signature
    kinds = {path.suffix.lower() for path in inputs}
    if not kinds & {*_ARRAYS, ".json"}:
        found = client.predict_images(inputs, **place, **wanted)
    elif len(inputs) > 1:
        raise click.UsageError("Give one .npy, .npz or .json file, or only images.")
    elif kinds == {".json"}:
        values, wanted["signature"] = _read_body(client, inputs[0], place, signature)
        found = client.predict(values, **place, **wanted)
    else:
        found = client.predict(_read_arrays(inputs[0]), **place, **wanted)
    _write(found, output)


def _read_arrays(path: Path) -> Any:
    import numpy as np

    from stn_tf.errors import DataError

    try:
        found = np.load(path, allow_pickle=False)
        return found if isinstance(found, np.ndarray) else dict(found)
    except OSError as error:
        raise DataError(f"`{path}` cannot be read: {error.strerror or error}.") from None
    except (ValueError, EOFError, ImportError) as error:
        raise DataError(f"`{path}` holds no arrays: {error}") from None


def _read_body(
    client: "Client", path: Path, place: dict[str, Any], signature: str | None
) -> tuple[Any, str]:
    """The inputs and the signature's name in the JSON body of a request."""
    from stn_tf.errors import DataError
    from stn_tf.serving.protocol.rest_body import open_body, predict_inputs
    from stn_tf.serving.protocol.signature import DEFAULT
    from stn_tf.serving.protocol.status import Status

    signatures = client.metadata(**place).signatures
    try:
        body = open_body(path.read_bytes())
        name = signature or body.signature_name or DEFAULT
        # An unknown signature is refused by `predict`, whose error lists the known ones.
        return (predict_inputs(body, signatures[name])[0] if name in signatures else {}), name
    except OSError as error:
        raise DataError(f"`{path}` cannot be read: {error.strerror}.") from None
    except Status as error:
        raise DataError(f"`{path}` is no request: {error}") from None


def _write(found: "Prediction", output: Path | None) -> None:
    from stn_tf.errors import DataError
    from stn_tf.serving.protocol import json_writer

    result: dict[str, Any] = {
        "model": found.model,
        "version": found.version,
        "signature": found.signature,
    }
    if output is None:
        _print({**result, "outputs": json_writer.tensors(found.outputs)})
        return
    try:
        if output.suffix == ".npz":
            _save(output, found)
        else:
            output.write_bytes(json_writer.write(json_writer.tensors(found.outputs)))
    except OSError as error:
        raise DataError(f"`{output}` cannot be written: {error.strerror}.") from None
    shapes = {name: array.shape for name, array in found.outputs.items()}
    _print({**result, "output": str(output), "shapes": shapes})


def _save(output: Path, found: "Prediction") -> None:
    import numpy as np

    from stn_tf.errors import DataError

    if strings := [name for name, array in found.outputs.items() if array.dtype == object]:
        raise DataError(f"`{strings[0]}` holds strings, which are for .json, not for .npz.")
    np.savez(output, **found.outputs)  # type: ignore[arg-type]


@command.command()
@_server_options
@_model
@_version
def status(client: "Client", model: str, version: int | None) -> None:
    """Say which versions of a model are served.

    \b
    Example:
      stn-tf client status --server http://localhost:8501 --model digits
    """
    _print([vars(one) for one in client.status(model, version=version)])


@command.command()
@_server_options
@_model
@_version
@_label
def metadata(client: "Client", model: str, version: int | None, label: str | None) -> None:
    """Say what a model takes and gives.

    \b
    Example:
      stn-tf client metadata --server grpc://localhost:8500 --model digits
    """
    import dataclasses

    _print(dataclasses.asdict(client.metadata(model, version=version, label=label)))


@command.command()
@_server_options
def models(client: "Client") -> None:
    """List the models of a `stn-tf serve`, over REST.

    \b
    Example:
      stn-tf client models --server http://localhost:8501
    """
    import dataclasses

    _print([dataclasses.asdict(model) for model in client.models()])


@command.command()
@click.argument("config", type=_FILE)
@_server_options
def reload(client: "Client", config: Path) -> None:
    """Give a server another list of models, over gRPC, and wait until they are loaded.

    CONFIG is a ModelServerConfig as text, as for `stn-tf serve --model_config_file`; the paths in
    it are those of the server's machine.

    \b
    Example:
      stn-tf client reload models.config --server grpc://localhost:8500
    """
    client.reload(config)
    _print({"reloaded": str(config)})


def _print(value: Any) -> None:
    from stn_tf.serving.protocol.json_writer import write

    click.echo(write(value, indent=True))
