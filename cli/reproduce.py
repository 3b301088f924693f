"""`stn-tf reproduce`."""

import dataclasses
import json
import sys
from pathlib import Path

import click

from stn_tf.cli.options import json_option
from stn_tf.cli.quiet import import_tensorflow


@click.command()
@click.argument("table")
@click.option(
    "--cells",
    multiple=True,
    metavar="PATTERN",
    help="Which cells, such as r/st-cnn-affine, 'r/*' or '*/cnn'. Repeatable. [default: all]",
)
@click.option(
    "--budget",
    type=click.FloatRange(min=0),
    metavar="MINUTES",
    help="Stop after so long, and go on there next time; 0 only shows what there is.",
)
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True)
@click.option(
    "--schedule",
    type=click.Choice(["short", "long", "paper"]),
    default="short",
    show_default=True,
    help="How long each run trains.",
)
@click.option("--sanity", is_flag=True, help="Train only as long as shows that a cell learns.")
@click.option(
    "--source",
    type=click.Choice(["mnist", "digits"]),
    default="mnist",
    show_default=True,
    help="The paper's digits, or those that come with scikit-learn.",
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="MNIST's four idx files. [default: they are downloaded]",
)
@click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Change a setting of all runs, such as mixed_precision=bfloat16. Repeatable.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of results and runs. [default: reproduction/TABLE-SOURCE]",
)
@json_option
def command(
    table: str,
    cells: tuple[str, ...],
    budget: float | None,
    seeds: int,
    schedule: str,
    sanity: bool,
    source: str,
    data_dir: Path | None,
    overrides: tuple[str, ...],
    out: Path | None,
    as_json: bool,
) -> None:
    """Run the experiments of one of the paper's tables.

    TABLE is distorted (table 1: eight networks on five distorted sets), addition (the sum of two
    digits), colocalisation (where a digit is that no label shows), volumes (extruded digits), or
    beyond (what the paper does not have).

    Cheap cells come first. What stopped it, and be it a power cut, costs a minute of training at
    most: the same command goes on. OUT/results.json holds what was found, OUT/results.md shows it
    beside the paper's figures, and OUT/TABLE.png where the transformers look. The exit status is 1
    if a run failed or a sanity run missed its bound.

    \b
    Examples:
      stn-tf reproduce distorted --data-dir mnist --cells '*/st-cnn-affine'
      stn-tf reproduce distorted --data-dir mnist --seeds 3 --schedule long --budget 480
      stn-tf reproduce addition --data-dir mnist --set mixed_precision=bfloat16
      stn-tf reproduce distorted --source digits --sanity
    """
    from stn_tf.experiments.reproduction import (
        check_changes,
        failed_sanity,
        get_table,
        markdown,
        reproduce,
    )
    from stn_tf.training.files import write_whole

    chosen = get_table(table)
    check_changes(overrides, chosen)
    out = out or Path("reproduction", f"{table}-{source}")
    results, missing = reproduce(
        chosen,
        chosen.chosen(cells),
        out,
        source=source,
        data_dir=data_dir,
        schedule=schedule,
        seeds=seeds,
        changes=overrides,
        sanity=sanity,
        minutes=budget,
        say=lambda text: click.echo(text, err=True),
    )
    text = markdown(results)
    write_whole(out / "results.md", text)
    picture = None
    if not sanity and results.outcomes:
        import_tensorflow()
        from stn_tf.experiments.reproduction.picture import write_picture

        picture = write_picture(results, out)
    wrong = failed_sanity(results) if sanity else []
    if as_json:
        found = [dataclasses.asdict(outcome) for outcome in results.outcomes]
        click.echo(json.dumps({"outcomes": found, "missing": [*missing, *wrong]}, indent=2))
    else:
        click.echo(text, nl=False)
    for line in (*missing, *wrong):
        click.echo(line, err=True)
    shown = f"{out / 'results.md'}" + ("" if picture is None else f", {picture}")
    click.echo(f"Written: {out / 'results.json'}, {shown}", err=True)
    if wrong or any("failed" in line for line in missing):
        sys.exit(1)
