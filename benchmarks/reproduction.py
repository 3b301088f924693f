"""Writes docs/results.md: what `stn-tf reproduce` found, from the results that are kept here.

    stn-tf reproduce distorted --data-dir MNIST --out reproduction/distorted-mnist
    python benchmarks/reproduction.py --keep reproduction/distorted-mnist

Without `--keep` it writes the page from `results/reproduction/` alone. To go on with a table on
another machine, copy its folder there and give it as `--out`.
"""

import json
from pathlib import Path

import click

from stn_tf.experiments.reproduction import Results, markdown
from stn_tf.paper.tables import TABLES, get_table

KEPT = Path(__file__).parent / "results" / "reproduction"
PAGE = Path(__file__).parents[1] / "docs" / "results.md"
HEAD = """# The paper's tables, run again

Every figure here is of a run that was made with `stn-tf reproduce` on 2 CPU cores of shared
machines; minutes are those of the machine as it was, other work beside it included. A cell that
was not run says so. `short` and `long` schedules train far less than the paper did: the tables say
how much of it. What a line's command needs beside is `--data-dir` with MNIST's four idx files.

    stn-tf reproduce distorted --data-dir MNIST --cells '*/st-cnn-affine' --schedule long

The results stand in `benchmarks/results/reproduction/`, from which `benchmarks/reproduction.py`
writes this page.

"""


def page() -> str:
    """Returns the page of all results that are kept."""
    parts = []
    for name, table in TABLES.items():
        for source in ("mnist", "digits"):
            folder = KEPT / f"{name}-{source}"
            results = Results(folder, table, source)
            if source == "mnist" or results.outcomes:
                text = markdown(results)
                parts.append(text if source == "mnist" else text.replace("\n", ": digits\n", 1))
    return HEAD + "\n".join(parts)


@click.command()
@click.option(
    "--keep",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="A folder of `stn-tf reproduce` whose results are to be kept here, beside those that are.",
)
def main(keep: tuple[Path, ...]) -> None:
    for folder in keep:
        named = json.loads((folder / "results.json").read_text())
        table, source = get_table(named["table"]), named["source"]
        kept = Results(KEPT / f"{table.name}-{source}", table, source)
        kept.path.parent.mkdir(parents=True, exist_ok=True)
        for outcome in Results(folder, table, source).outcomes:
            kept.add(outcome)
    PAGE.write_text(page(), encoding="utf-8")
    click.echo(f"Written: {PAGE}")


if __name__ == "__main__":
    main()
