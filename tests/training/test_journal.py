import json

import pytest

from stn_tf.errors import RunError
from stn_tf.training.journal import Journal


def _steps(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["step"] for line in lines]


@pytest.mark.parametrize(
    ("rest", "kept"),
    [
        ("", [1, 2]),
        ('{"step": 3, "loss": 0.5}\n', [1, 2]),
        ('{"step": 2, "validation_error_percent": 1.0}\n{"step": 3', [1, 2, 2]),
        ('{"step": 2', [1, 2]),
        ('{"step": 2}', [1, 2]),
    ],
)
def test_lines_after_the_checkpoint_are_removed(tmp_path, rest, kept):
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n' + rest)
    journal = Journal(tmp_path, 2)
    assert _steps(tmp_path) == kept
    journal.scalars(3, loss=0.25)
    journal.close()
    assert _steps(tmp_path) == [*kept, 3]


def test_folder_that_cannot_be_written_exception_raised(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(RunError, match="Cannot write the metrics to"):
        Journal(tmp_path / "run", 0)
