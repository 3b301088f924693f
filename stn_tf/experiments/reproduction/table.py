"""A table in Markdown: the paper's figure beside ours, and what stands behind ours."""

from stn_tf.experiments.reproduction.results import Outcome, Results, mean_deviation
from stn_tf.paper.tables import Cell

_NOTHING = "not run"


def markdown(results: Results) -> str:
    """Returns the table, and a line for each cell and variant of it that was run."""
    table = results.table
    columns = table.columns
    lines = [
        f"## {table.title}",
        "",
        f"{table.unit[0].upper()}{table.unit[1:]}, with the paper's in brackets; mean and "
        "deviation where several seeds were run. Each cell shows its longest training.",
        "",
        f"| | {' | '.join(column.upper() for column in columns)} |",
        f"|---|{'---|' * len(columns)}",
    ]
    cells = {cell.name: cell for cell in table.cells}
    for row in table.rows:
        shown = []
        for column in columns:
            cell = cells.get(f"{column}/{row}")
            shown.append("" if cell is None else _cell(results, cell))
        lines.append(f"| {row} | {' | '.join(shown)} |")
    lines += ["", *_runs(results)]
    return "\n".join(lines) + "\n"


def _cell(results: Results, cell: Cell) -> str:
    variants = [v for v in results.variants(cell) if v != "sanity"]
    ours = _figure(results.of(cell, variants[0])) if variants else _NOTHING
    return ours if cell.paper is None else f"{ours} ({cell.paper:g})"


def _figure(outcomes: list[Outcome]) -> str:
    mean, deviation = mean_deviation(outcomes)
    return f"{mean:.2f}" if deviation is None else f"{mean:.2f} ± {deviation:.2f}"


def _runs(results: Results) -> list[str]:
    if not results.outcomes:
        return ["Nothing was run yet."]
    table = results.table
    share = "Of the paper's training" if table.paper_images else "Images seen"
    lines = [
        f"| Cell | {table.unit.capitalize()} | Paper | Seeds | {share} | Minutes a run | "
        "Parameters | Command |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for cell in table.cells:
        for variant in results.variants(cell):
            outcomes = results.of(cell, variant)
            first = outcomes[0]
            seen = (
                f"{100 * first.images / table.paper_images:.2g} %"
                if table.paper_images
                else f"{first.images:,}"
            )
            minutes = sum(outcome.seconds for outcome in outcomes) / len(outcomes) / 60
            figure = _figure(outcomes)
            if first.bound is not None:
                good = all(_reaches(o, table.higher_is_better) for o in outcomes)
                side = "above" if table.higher_is_better else "below"
                figure += f" (must be {side} {first.bound:g}: {'yes' if good else 'NO'})"
            lines.append(
                f"| {cell.name} | {figure} | {'' if cell.paper is None else f'{cell.paper:g}'} | "
                f"{', '.join(str(o.seed) for o in outcomes)} | {seen} | {minutes:.1f} | "
                f"{first.parameters:,} | `{first.command}` |"
            )
    return lines


def _reaches(outcome: Outcome, higher: bool) -> bool:
    assert outcome.bound is not None
    return outcome.figure >= outcome.bound if higher else outcome.figure <= outcome.bound


def failed_sanity(results: Results) -> list[str]:
    """Returns the sanity runs that missed their bound, a line each."""
    return [
        f"{o.cell}: {o.figure:.2f}, but a sanity run must reach {o.bound:g}"
        for o in results.outcomes
        if o.bound is not None and not _reaches(o, results.table.higher_is_better)
    ]
