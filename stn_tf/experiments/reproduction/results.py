"""What the runs of a table came to, in a file that outlives their folders."""

import dataclasses
import hashlib
import json
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stn_tf.errors import RunError
from stn_tf.paper.tables import Cell, Table
from stn_tf.recipe import ExperimentConfig
from stn_tf.training.files import write_whole, writing

# What a run comes to does not depend on these settings.
_WITHOUT_EFFECT = {
    "data_dir", "log_every", "checkpoint_every", "checkpoint_minutes", "keep_checkpoints",
}  # fmt: skip
# Of results.json. Raise it when what a figure means has changed.
FORMAT = 2


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one finished run came to.

    Attributes:
        cell: The name of its cell.
        seed: Of weights and data.
        variant: Its schedule, and what else was set.
        figure: What the table shows.
        steps: How many it took.
        images: How many it saw.
        seconds: From start to end.
        parameters: Of the network.
        command: What repeats it.
        settings: What `settings_digest` says of its settings.
        device: What computed.
        stn_tf: The version that trained.
        bound: What a sanity run had to reach; None for others.
    """

    cell: str
    seed: int
    variant: str
    figure: float
    steps: int
    images: int
    seconds: float
    parameters: int
    command: str
    settings: str
    device: str
    stn_tf: str
    bound: float | None = None


class Results:
    """The outcomes of a table.

    Args:
        folder: Where `results.json` is, or will be.
        table: The table.
        source: Where its digits come from.

    Raises:
        RunError: If the folder holds results of another format, table or source.
    """

    def __init__(self, folder: Path, table: Table, source: str):
        self.path = folder / "results.json"
        self.table = table
        self.source = source
        self.outcomes: list[Outcome] = []
        if not self.path.exists():
            return
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            wanted = {"format": FORMAT, "table": table.name, "source": source}
            others = [
                f"{key} {found.get(key)!r} instead of {value!r}"
                for key, value in wanted.items()
                if found.get(key) != value
            ]
            if not others:
                self.outcomes = [Outcome(**entry) for entry in found["outcomes"]]
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise RunError(f"`{self.path}` cannot be read as results: {error}.") from None
        if others:
            raise RunError(
                f"`{self.path}` holds other results: {', '.join(others)}. Choose another folder "
                "with --out, or the version of stn-tf that wrote them."
            )

    def find(self, cell: Cell, variant: str, seed: int) -> Outcome | None:
        """Returns the outcome of a run, if it was finished."""
        return next((o for o in self.of(cell, variant) if o.seed == seed), None)

    def check_same(self, cell: Cell, variant: str, seed: int, settings: str) -> None:
        """Raises RunError if a finished run had other settings than these, by their digest."""
        found = self.find(cell, variant, seed)
        if found and found.settings != settings:
            raise RunError(
                f"`{self.path}` holds {cell.name} of other settings than {variant} has in this "
                f"version of stn-tf (it was written by {found.stn_tf}). Choose another folder with "
                "--out."
            )

    def of(self, cell: Cell, variant: str) -> list[Outcome]:
        """Returns the outcomes of all seeds."""
        return [o for o in self.outcomes if (o.cell, o.variant) == (cell.name, variant)]

    def variants(self, cell: Cell) -> list[str]:
        """Returns the variants of which a cell has outcomes, longest training first."""
        images: dict[str, int] = {}
        for outcome in self.outcomes:
            if outcome.cell == cell.name:
                images[outcome.variant] = max(images.get(outcome.variant, 0), outcome.images)
        return sorted(images, key=lambda variant: -images[variant])

    def add(self, outcome: Outcome) -> None:
        """Adds the outcome of a run, instead of an earlier one of it, and writes them all."""
        run = (outcome.cell, outcome.variant, outcome.seed)
        self.outcomes = [o for o in self.outcomes if (o.cell, o.variant, o.seed) != run]
        self.outcomes.append(outcome)
        self.outcomes.sort(key=lambda o: (o.cell, o.variant, o.seed))
        content = {
            "format": FORMAT,
            "table": self.table.name,
            "source": self.source,
            "outcomes": [dataclasses.asdict(outcome) for outcome in self.outcomes],
        }
        with writing(self.path.parent, "the results"):
            write_whole(self.path, json.dumps(content, indent=1) + "\n")


def settings_digest(config: ExperimentConfig) -> str:
    """Returns what tells settings apart by which runs come to something else."""
    settings = config.model_dump(mode="json", exclude=_WITHOUT_EFFECT)
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def outcome_of(
    table: Table,
    cell: Cell,
    variant: str,
    report: Mapping[str, Any],
    config: ExperimentConfig,
    command: str,
) -> Outcome:
    """Returns what the report of a run with these settings says.

    Raises:
        RunError: If it lacks the figure of the table.
    """
    figure = report.get(table.figure)
    if figure is None:
        figure = (report.get("test") or {}).get(table.figure)
    if figure is None:
        raise RunError(f"The report of {cell.name} has no {table.figure}.")
    return Outcome(
        cell=cell.name,
        seed=int(report["seed"]),
        variant=variant,
        figure=round(float(figure), 4),
        steps=int(report["steps"]),
        images=int(report["steps"]) * config.batch_size,
        seconds=float(report["seconds"]),
        parameters=int(report["parameters"]),
        command=command,
        settings=settings_digest(config),
        device=str(report["device"]),
        stn_tf=str(report["versions"]["stn_tf"]),
        bound=cell.sanity_bound if variant == "sanity" else None,
    )


def mean_deviation(outcomes: Iterable[Outcome]) -> tuple[float, float | None]:
    """Returns the mean figure over seeds, and its deviation where there are several."""
    figures = [outcome.figure for outcome in outcomes]
    return statistics.mean(figures), statistics.stdev(figures) if len(figures) > 1 else None
