"""`stn-tf train`."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from stn_tf.cli.options import data_dir_option, json_option
from stn_tf.cli.quiet import import_tensorflow


@click.command()
@click.argument("experiment")
@click.option(
    "--model",
    help="Network, such as st-cnn-affine, st-cnn-tps, cnn or fcn; or package.module:function, "
    "a function of yours that returns a Keras model.",
)
@data_dir_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Run folder to write. [default: runs/EXPERIMENT-MODEL]",
)
@click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Change a setting, such as schedule=long, steps=500 or seed=1. Repeatable.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on from the latest checkpoint in the run folder, also for more steps.",
)
@click.option(
    "--init",
    type=click.Path(path_type=Path, exists=True),
    help="Start with the weights of a run folder or of a .keras or .weights.h5 file.",
)
@click.option(
    "--on-nan",
    type=click.Choice(["stop", "skip"]),
    help="What a loss or an update that is no number leads to. [default: stop]",
)
@click.option(
    "--strategy",
    type=click.Choice(["auto", "one", "mirrored", "multi-worker"]),
    help="Devices: one, all of this machine, or all workers of TF_CONFIG. [default: auto]",
)
@json_option
def command(
    experiment: str,
    model: str | None,
    data_dir: Path | None,
    out: Path | None,
    overrides: tuple[str, ...],
    resume: bool,
    init: Path | None,
    on_nan: str | None,
    strategy: str | None,
    as_json: bool,
) -> None:
    """Train a network of an experiment.

    EXPERIMENT is folder (your own images), digits-r, -rts, -p, -e or -tc (digits that come with the
    package), mnist-r, -rts, -p, -e or -tc (the paper's sets), or a TOML file of settings, such as
    the config.toml of a run.

    \b
    Examples:
      stn-tf train folder --data-dir my-images
      stn-tf train folder --data-dir my-images --set transformers=2 --set image_size=320
      stn-tf train folder --data-dir my-images --model my_package.nets:build
      stn-tf train digits-rts
      stn-tf train mnist-rts --data-dir data/mnist --set schedule=long
      stn-tf train mnist-e --model st-cnn-tps --out runs/elastic --set seed=1
      stn-tf train runs/elastic/config.toml --resume

    Ctrl-C stops after the current step, with a checkpoint.
    """
    from stn_tf.experiments import load_experiment

    options = {"model": model, "data_dir": data_dir, "strategy": strategy, "on_nan": on_nan}
    # A JSON string is a TOML string too, so that no name of a folder is read as a number.
    given = [
        f"{key}={json.dumps(str(value), ensure_ascii=False)}"
        for key, value in options.items()
        if value is not None
    ]
    config = load_experiment(experiment, [*overrides, *given])
    if out is None:
        out = Path("runs", _run_name(config))
        if resume and Path(experiment).name == "config.toml":
            out = Path(experiment).parent

    import_tensorflow()
    from stn_tf.experiments import train
    from stn_tf.training import Interrupted

    try:
        report = train(config, out, resume=resume, init=init)
    except Interrupted as interrupted:
        click.echo(
            f"{interrupted} Continue with: stn-tf train {_shell(out / 'config.toml')} --resume",
            err=True,
        )
        # What shells report for a process that a signal ended.
        sys.exit(128 + interrupted.signal)
    if as_json:
        click.echo(report.to_json(), nl=False)
        return
    figure = (
        f"Test error {report.error_percent:.2f} % of {report.test_images} images"
        if report.error_percent is not None
        else ", ".join(f"{name} {value:.4g}" for name, value in (report.test or {}).items())
    )
    click.echo(
        f"{figure or 'Trained'} after {report.steps} steps in {report.seconds:.0f} s "
        f"({report.images_per_second:,.0f} images/s). Run: {out}"
    )
    exported = Path("exports", out.name)
    click.echo(
        f"Look at {out / 'report.html'}. Next:\n"
        f"  stn-tf evaluate {_shell(out)}\n"
        f"  stn-tf export {_shell(out)} --out {_shell(exported)}\n"
        f"  stn-tf predict {_shell(exported)} IMAGES --output predictions.csv",
        err=True,
    )


def _shell(path: Path) -> str:
    return shlex.quote(str(path))


def _run_name(config: Any) -> str:
    """The experiment, and the network where there is a choice of the paper's."""
    return (
        config.name
        if ":" in config.model or config.recipe != "paper"
        else (f"{config.name}-{config.model}")
    )
