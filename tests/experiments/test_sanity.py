"""Each family of the paper's experiments learns: one cell of each table.

The sum needs MNIST: of 1,257 digits too few pairs are seen to tell it from guessing so soon.
`stn-tf reproduce TABLE --sanity` runs the others; a cell says itself which figure it must reach.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stn_tf.paper.tables import TABLES

# One of those that need least.
CELLS = {
    "distorted": "r/st-fcn-affine",
    "addition": "sum/2xst-fcn-affine",
    "colocalisation": "t/digit 7",
    "volumes": "volumes/st-3d",
    "beyond": "r/theta_loss=1",
}


def test_every_table_has_a_cell() -> None:
    assert set(CELLS) == set(TABLES)


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
def test_it_learns(table: str, root: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    command = [sys.executable, "-m", "stn_tf.cli.main", "reproduce", table, "--sanity", "--json"]
    given = ["--source", "digits", "--cells", CELLS[table], "--out", str(tmp_path)]
    if table == "addition":
        given += ["--source", "mnist", "--data-dir", str(request.getfixturevalue("mnist_dir"))]
    done = subprocess.run([*command, *given], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (outcome,) = json.loads(done.stdout)["outcomes"]
    assert outcome["bound"] is not None
