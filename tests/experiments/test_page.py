"""The page at the end of a run: what it says, and that it needs nothing but itself."""

import html.parser
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from stn_tf.errors import RunError
from stn_tf.experiments import Run, evaluate, load_experiment, train
from stn_tf.experiments.evaluation import interval_percent
from stn_tf.experiments.examples import Example
from stn_tf.experiments.page import page, write_page
from stn_tf.experiments.page_html import escaped, picture_source
from stn_tf.experiments.page_results import duration, read_metrics
from stn_tf.experiments.survey import NOTHING, Survey
from stn_tf.experiments.views import Picture

_VOID = {"meta", "link", "img", "br", "image", "path", "use"}


class _Reader(html.parser.HTMLParser):
    """Checks that tags close in order, and collects text, addresses and ids."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in _VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action", "data"):
                self.addresses.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in _VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def read(tiny_run: Run) -> _Reader:
    return _Reader(tiny_run.folder.page.read_text(encoding="utf-8"))


@pytest.fixture
def copied(tiny_run: Run, tmp_path: Path) -> Path:
    """The run's files but its weights, to be changed."""
    out = tmp_path / "copied"
    shutil.copytree(tiny_run.path, out, ignore=shutil.ignore_patterns("checkpoints", "*.html"))
    return out


def _named(path: Path, names: tuple[str, ...]) -> Run:
    """The run with other names of classes."""
    network = json.loads((path / "network.json").read_text())
    network["class_names"] = names
    (path / "network.json").write_text(json.dumps(network))
    return Run(path)


def test_headline_says_the_result_and_what_stands_behind_it(tiny_run, read):
    report = tiny_run.report
    wrong = round(report["error_percent"] * report["test_images"] / 100)
    low, high = interval_percent(wrong, report["test_images"])
    assert f"{report['error_percent']:.2f} %" in read.text
    assert (
        f"of {report['test_images']} images; 95 % interval {low:.1f} to {high:.1f} %" in read.text
    )
    assert f"{report['validation_error_percent']:.2f} %" in read.text
    assert f"{report['parameters']:,}" in read.text
    assert report["device"].split(", ", 1)[1] in read.text


def test_the_page_needs_nothing_but_itself(tiny_run, read):
    text = tiny_run.folder.page.read_text(encoding="utf-8")
    assert len(text) < 2_000_000
    for address in read.addresses:
        assert address.startswith(("data:", "#")), address
    elsewhere = {u for u in re.findall(r"https?://[^\s\"'<)]+", text) if "www.w3.org" not in u}
    assert not elsewhere
    assert "@import" not in text
    assert len(read.ids) == len(set(read.ids))
    for name in re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", text):
        assert name in read.ids


def test_every_part_is_there(tiny_run, read):
    parts = ["curves", "mistakes", "confusion", "classes", "transformers", "commands", "settings"]
    assert [name for name in parts if name not in read.ids] == []
    for words in ("scale x", "rotation, °", "Points outside of the image", "most often taken for"):
        assert words in read.text
    assert f"stn-tf train {tiny_run.folder.config} --out NEW" in read.text
    assert f"stn-tf export {tiny_run.path} --out exports/{tiny_run.path.name}" in read.text
    for line in tiny_run.config.to_toml().splitlines():
        assert " ".join(line.split()) in read.text
    for note in tiny_run.report["notes"]:
        assert note in read.text


def test_the_worst_mistakes_are_those_of_the_evaluation(tiny_run, read):
    found = evaluate(tiny_run).survey
    assert 0 < len(found.mistakes) <= 12
    for example in found.mistakes:
        taken = (
            f"taken for {tiny_run.classes[example.predicted]} , {100 * example.probability:.1f} %"
        )
        assert f"{tiny_run.classes[example.label]} , {taken}" in read.text
    # A drawing with its outline for each, and for those that read outside.
    drawings = len(found.mistakes) + len(found.outside)
    text = tiny_run.folder.page.read_text()
    assert text.count('class="edge"') == text.count('class="top"') == drawings


def test_the_page_can_be_drawn_again(tiny_run, tmp_path):
    before = tiny_run.folder.page.read_text()
    path = write_page(Run(tiny_run.path), tmp_path / "new" / "page.html")
    assert path.read_text() == before


def test_names_are_text_whatever_they_hold(copied):
    hostile = "<script>alert('$x$')</script>"
    names = (hostile, "&amp;\"'", "$\\frac$", "鸟", "a\u202eb", "\udcff", *"6789")
    run = _named(copied, names)
    confusion = np.eye(10, dtype=int) * 3
    confusion[0, 1] = 2
    image = np.zeros((4, 4, 1), np.float32)
    mistakes = (Example(0, f"{hostile}/\udcfe.png", None, 0, 1, 0.9, picture=Picture(image, ())),)
    text = page(run, Survey("test", 32, confusion, mistakes))
    read = _Reader(text)
    assert text.encode("utf-8")
    assert text.count("<script>") == 1
    assert hostile in read.text
    assert f"{hostile}/?.png" in read.text
    assert "$\\frac$" in read.text
    assert "\u202e" not in text


def test_a_thousand_classes_are_a_table_and_no_picture(copied, rng):
    names = tuple(f"class {index}" for index in range(1500))
    run = _named(copied, names)
    confusion = np.diag(np.full(1500, 9))
    confusion[7, 8], confusion[700, 3] = 5, 4
    text = page(run, Survey("test", int(confusion.sum()), confusion))
    read = _Reader(text)
    assert "<svg" not in text[text.index('id="confusion"') : text.index('id="classes"')]
    pairs = read.text[read.text.index("Most often confused:") :]
    assert pairs.index("class 7 class 8 5") < pairs.index("class 700 class 3 4")
    assert "Only the first 1,000 are listed." in read.text
    assert len(text) < 1_000_000


def test_a_task_without_classes(copied):
    network = json.loads((copied / "network.json").read_text())
    (copied / "network.json").write_text(
        json.dumps({**network, "task": "regression", "class_names": []})
    )
    report = json.loads((copied / "report.json").read_text())
    report |= {"error_percent": None, "validation_error_percent": None, "test": {"mae": 0.25}}
    (copied / "report.json").write_text(json.dumps(report))
    read = _Reader(page(Run(copied), Survey("test", 10, None)))
    assert "test mae 0.25" in read.text
    assert not {"confusion", "classes", "mistakes", "transformers"} & set(read.ids)
    assert "curves" in read.ids


def test_validation_images_stand_in_where_there_are_no_test_images(copied):
    confusion = np.eye(10, dtype=int)
    read = _Reader(page(Run(copied), Survey("validation", 10, confusion)))
    assert "The data has no test images" in read.text
    assert "validation error 0.00 %" in read.text
    assert "No image was taken for another class." in read.text


def test_data_without_images_to_measure_on(copied):
    read = _Reader(page(Run(copied), NOTHING))
    assert "nothing was measured" in read.text
    assert {"curves", "commands", "settings"} <= set(read.ids)
    assert "confusion" not in read.ids


def test_an_unfinished_run_has_a_page(copied):
    (copied / "report.json").unlink()
    (copied / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    read = _Reader(page(Run(copied), Survey("test", 10, np.eye(10, dtype=int))))
    assert "The run is not complete." in read.text
    assert "curves" in read.ids
    (copied / "metrics.jsonl").unlink()
    assert "curves" not in _Reader(page(Run(copied), Survey("test", 10, np.eye(10, dtype=int)))).ids


@pytest.mark.slow
def test_a_page_that_cannot_be_written_costs_nothing_else(tmp_path, capsys):
    out = tmp_path / "run"
    (out / "report.html" / "in the way").mkdir(parents=True)
    settings = ["model=fcn", "steps=2", "batch_size=8", "deterministic=false"]
    report = train(load_experiment("digits-r", settings), out, progress=False)
    assert json.loads((out / "report.json").read_text())["steps"] == report.steps == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "Warning" in line]
    assert line.startswith(f"Warning: {out / 'report.html'} could not be drawn: Cannot write")
    with pytest.raises(RunError, match="Cannot write the page"):
        write_page(Run(out), found=Survey("test", 10, np.eye(10, dtype=int)))


@pytest.mark.parametrize(
    ("wrong", "images", "low", "high"),
    # Of the closed form, by the roots of (p - x)^2 = z^2 x (1 - x) / n.
    [(0, 10, 0.0, 27.75), (10, 10, 72.25, 100.0), (25, 243, 7.07, 14.75), (0, 0, 0.0, 100.0)],
)
def test_interval_percent_preset(wrong, images, low, high):
    np.testing.assert_allclose(interval_percent(wrong, images), (low, high), atol=0.01)
    if images:
        share, square = wrong / images, 1.959964**2
        roots = np.roots([1 + square / images, -2 * share - square / images, share**2])
        np.testing.assert_allclose(
            interval_percent(wrong, images), np.clip(np.sort(roots.real) * 100, 0, 100), atol=1e-6
        )


def test_small_pieces_preset(tmp_path, rng):
    assert [duration(s) for s in (3.4, 200, 7500)] == ["3 s", "3 min 20 s", "2 h 5 min"]
    assert escaped('<a href="x">\0') == "&lt;a href=&quot;x&quot;&gt;\ufffd"
    assert picture_source(rng.random((9, 9, 1))).startswith("data:image/png;base64,")
    large = picture_source(rng.random((400, 700, 3)))
    assert large.startswith("data:image/jpeg;base64,")
    assert len(large) < 150_000
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n[]\n{"step": 2')
    assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 1, "loss": 1.0}]
    assert read_metrics(tmp_path / "none.jsonl") == []
