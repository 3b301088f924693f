"""The page at the end of a run: one HTML file that needs no server and no network."""

import importlib.resources
import shlex
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stn_tf.experiments import page_html, page_pictures, page_results, page_transformers
from stn_tf.experiments.evaluation import survey_run
from stn_tf.experiments.page_html import code, escaped, folded, paragraph, section, table
from stn_tf.experiments.run import Run
from stn_tf.experiments.survey import Survey
from stn_tf.training.files import write_whole, writing


def write_page(run: Run, path: Path | str | None = None, *, found: Survey | None = None) -> Path:
    """Writes what came of a run as a page to look at.

    Args:
        run: A run with a checkpoint.
        path: The file; None for `report.html` in the run's folder.
        found: What a pass over the images found; None to go through them now.

    Returns:
        The file.

    Raises:
        RunError: If the run has no checkpoint, or the file cannot be written.
        DataError: If the images are needed and cannot be read.
    """
    path = run.folder.page if path is None else Path(path)
    text = page(run, survey_run(run) if found is None else found)
    with writing(path.parent, "the page"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    return path


def page(run: Run, found: Survey) -> str:
    """Returns the page as text."""
    report = run.report
    name = str(getattr(run.config, "name", run.path.name))
    title = f"{name}: {report['model']}" if report else name
    chosen = report["chosen_step"] if report else None
    parts = [
        page_results.headline(report, found, run.classes, title),
        page_results.curves(run.folder.metrics, chosen),
        _mistakes(run, found),
        page_results.confusion(found, run.classes),
        page_results.class_table(found, run.classes),
        page_transformers.transformers(found, run.classes),
        _decided(report),
        _commands(run),
        _settings(run, report),
    ]
    files = importlib.resources.files(__package__)
    texts = {
        kind: files.joinpath(f"page.{kind}").read_text(encoding="utf-8")
        for kind in ("html", "css", "js")
    }
    return string.Template(texts["html"]).substitute(
        title=escaped(title),
        style=texts["css"],
        body="\n".join(part for part in parts if part),
        script=texts["js"],
    )


def _mistakes(run: Run, found: Survey) -> str:
    if found.confusion is None:
        return ""
    if not found.mistakes:
        return section(
            "Worst mistakes", paragraph("No image was taken for another class."), name="mistakes"
        )
    cards = page_pictures.cards(found.mistakes, run.classes)
    if not cards:
        rows = [
            (
                example.name or f"example {example.index:,}",
                run.classes[example.label or 0],
                run.classes[example.predicted or 0],
                100 * (example.probability or 0.0),
            )
            for example in found.mistakes
        ]
        cards = table(("example", "true class", "taken for", "probability %"), rows)
    told = (
        f"The {found.split} images that were taken for a wrong class with the highest probability"
    )
    if any(example.picture and example.picture.views for example in found.mistakes):
        told += ", what the transformers read of them, and the crops; pink is a crop's upper edge"
    return section("Worst mistakes", paragraph(f"{told}."), cards, name="mistakes")


def _decided(report: Mapping[str, Any] | None) -> str:
    notes = (report or {}).get("notes") or ()
    items = "\n".join(f"<li>{escaped(note)}</li>" for note in notes)
    return section("What was decided", f"<ul>\n{items}\n</ul>" if items else "", name="notes")


def _commands(run: Run) -> str:
    place = shlex.quote(str(run.path))
    settings = shlex.quote(str(run.folder.config))
    exports = shlex.quote(f"exports/{run.path.name}")
    return section(
        "Commands",
        paragraph("The same run again:"),
        code(f"stn-tf train {settings} --out NEW"),
        paragraph("What comes next:"),
        code(
            f"stn-tf evaluate {place}\n"
            f"stn-tf export {place} --out {exports}\n"
            f"stn-tf predict {exports} IMAGES --output predictions.csv"
        ),
        name="commands",
    )


def _settings(run: Run, report: Mapping[str, Any] | None) -> str:
    parts = [folded("config.toml", code(run.config.to_toml()))]
    if report:
        told = {**report["versions"], "seed": report["seed"], "weights": report["weights_sha256"]}
        rows = [(name, str(value)) for name, value in told.items()]
        parts.append(folded("Versions", page_html.table(("what", "version"), rows)))
    return section("Settings", *parts, name="settings")
