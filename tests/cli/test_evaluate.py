import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from stn_tf.cli.main import main
from stn_tf.experiments import load_experiment, train


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "tiny"
    settings = ["model=fcn", "steps=20", "batch_size=16", "deterministic=false"]
    train(load_experiment("digits-r", settings), out, progress=False)
    return out


def test_table_picture_and_page(run):
    page = (run / "report.html").read_text()
    (run / "report.html").unlink()
    result = CliRunner().invoke(main, ["evaluate", str(run)])
    assert result.exit_code == 0, result.output
    error = json.loads((run / "report.json").read_text())["error_percent"]
    assert f"Test error {error:.2f} %" in result.stdout
    rows = [line for line in result.stdout.splitlines() if line.startswith("│")]
    assert [row.split("│")[1].strip() for row in rows] == list("0123456789")
    with Image.open(run / "confusion.png") as picture:
        assert min(picture.size) > 100
    assert f"Page: {run / 'report.html'}" in result.stdout
    # The page of the end of training, made of the files alone.
    assert (run / "report.html").read_text() == page


def test_json_and_output(run, tmp_path):
    picture = tmp_path / "pictures" / "confusion.png"
    result = CliRunner().invoke(main, ["evaluate", str(run), "--json", "--output", str(picture)])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["error_percent"] == json.loads((run / "report.json").read_text())["error_percent"]
    counts = answer["confusion"]
    assert [row["images"] for row in answer["per_class"]] == [sum(row) for row in counts]
    assert answer["picture"] == str(picture)
    assert picture.is_file()
    assert answer["page"] == str(run / "report.html")


def test_the_page_shows_the_test_images_alone(run):
    (run / "report.html").write_text("of the test images")
    result = CliRunner().invoke(main, ["evaluate", str(run), "--split", "validation", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["page"] is None
    assert (run / "report.html").read_text() == "of the test images"


@pytest.mark.parametrize("name", ["none", ""])
def test_no_run_is_one_line(tmp_path, name):
    result = CliRunner().invoke(main, ["evaluate", str(tmp_path / name)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: `")
    assert result.stderr.count("\n") == 1


def test_help_has_runnable_examples():
    result = CliRunner().invoke(main, ["evaluate", "--help"])
    assert result.exit_code == 0
    assert result.output.count("  stn-tf evaluate runs/") == 4
