"""`stn-tf train`."""

import json
import sys
from pathlib import Path

import click

from stn_tf.cli.options import data_dir_option, json_option
from stn_tf.cli.quiet import import_tensorflow


@click.command()
@click.argument("experiment")
@click.option("--model", help="Network, such as st-cnn-affine, st-cnn-tps, cnn or fcn.")
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
@click.option("--resume", is_flag=True, help="Go on from the latest checkpoint in the run folder.")
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
    strategy: str | None,
    as_json: bool,
) -> None:
    """Train a network of an experiment.

    EXPERIMENT is digits-r, -rts, -p, -e or -tc (digits that come with the package), mnist-r, -rts,
    -p, -e or -tc (the paper's sets), folder (your own images), or a TOML file of settings, such as
    the config.toml of a run.

    \b
    Examples:
      stn-tf train digits-rts
      stn-tf train mnist-rts --data-dir data/mnist --set schedule=long
      stn-tf train mnist-e --model st-cnn-tps --out runs/elastic --set seed=1
      stn-tf train folder --data-dir my-images --set "image_size=[96, 96]"
      stn-tf train runs/elastic/config.toml --resume

    Ctrl-C stops after the current step, with a checkpoint.
    """
    from stn_tf.experiments import load_experiment

    options = {"model": model, "data_dir": data_dir, "strategy": strategy}
    # A JSON string is a TOML string too, so that no name of a folder is read as a number.
    given = [
        f"{key}={json.dumps(str(value), ensure_ascii=False)}"
        for key, value in options.items()
        if value is not None
    ]
    config = load_experiment(experiment, [*overrides, *given])
    if out is None:
        out = Path("runs", f"{config.name}-{config.model}")
        if resume and Path(experiment).name == "config.toml":
            out = Path(experiment).parent

    import_tensorflow()
    from stn_tf.experiments import train
    from stn_tf.training import Interrupted

    try:
        report = train(config, out, resume=resume)
    except Interrupted as interrupted:
        click.echo(
            f"{interrupted} Continue with: stn-tf train {out / 'config.toml'} --resume", err=True
        )
        # What shells report for a process that a signal ended.
        sys.exit(128 + interrupted.signal)
    if as_json:
        click.echo(report.to_json(), nl=False)
    else:
        click.echo(
            f"Test error {report.error_percent:.2f} % after {report.steps} steps in "
            f"{report.seconds:.0f} s ({report.images_per_second:,.0f} images/s). Run: {out}"
        )
