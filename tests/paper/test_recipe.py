"""The paper's experiments as a recipe: what they make of settings."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stn_tf.errors import ConfigError
from stn_tf.experiments import load_experiment
from stn_tf.paper.recipe import PaperRecipe
from stn_tf.recipe import Prepared


def prepared(name: str, *changes: str) -> Prepared:
    config: Any = load_experiment(name, changes)
    return PaperRecipe().prepare(config)


def part(made: Prepared, name: str, batches: int = 1) -> list[np.ndarray]:
    found = [batch for batch, _ in zip(made.parts(name) or (), range(batches), strict=False)]
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def test_digits_rts() -> None:
    made = prepared("digits-rts", "batch_size=8", "model=cnn")
    assert made.interface.image.shape == (None, 42, 42, 1)
    assert made.interface.class_names == tuple("0123456789")
    (output,) = made.interface.outputs
    assert (output.meaning, output.shape) == ("logits", (None, 10))
    assert [metric.name for metric in made.metrics] == ["error_percent"]
    assert made.write_split is None  # The source splits alike by itself.
    images, labels = next(iter(made.train.batches(3, replicas=1, replica_ids=(0,))))
    assert images.shape == (8, 42, 42, 1)
    again, _ = next(iter(made.train.batches(3, replicas=1, replica_ids=(0,))))
    np.testing.assert_array_equal(again, images)
    assert labels.dtype == "int32"
    model = made.build()
    assert model.input_shape == (None, 42, 42, 1)
    assert model.output_shape == (None, 10)


def test_evaluation_is_the_same_for_every_run() -> None:
    """Errors of runs of any seed can be compared, as those of 0.1.0 can."""
    one, other = (prepared("digits-r", f"seed={seed}", "batch_size=20") for seed in (0, 7))
    for name in ("validation", "test"):
        for a, b in zip(part(one, name), part(other, name), strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(part(one, "validation")[0], part(one, "test")[0])


def test_batches_can_be_gone_through_again() -> None:
    data = prepared("digits-r", "batch_size=500").parts("test")
    assert data is not None
    counts = [sum(len(labels) for _, labels in data) for _ in range(2)]
    assert counts == [359, 359]


def test_a_folder_says_what_was_decided(tmp_path: Path) -> None:
    from tests.data.trees import write_tree

    write_tree(tmp_path, {"cat": 5, "dog": 5})
    path = tmp_path / "mine.toml"
    path.write_text(f'source = "folder"\ndata_dir = "{tmp_path}"\nimage_size = [30, 30]\n')
    config: Any = load_experiment(path)
    made = PaperRecipe().prepare(config)
    assert made.notes[0].startswith("10 images of 2 classes: ")
    assert made.interface.class_names == ("cat", "dog")
    assert made.config.data_dir == str(tmp_path.resolve())


def test_an_unknown_network_is_named_before_data_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`model` must be one of .* Did you mean `st-cnn-tps`"):
        prepared("mnist-r", "model=st-cnn-tsp", f"data_dir={tmp_path / 'none'}")
