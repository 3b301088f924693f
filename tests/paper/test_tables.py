"""The paper's tables: every cell is an experiment that can be run, under its name."""

import pytest

from stn_tf.errors import ConfigError
from stn_tf.experiments import load_experiment
from stn_tf.experiments.settings import EXPERIMENTS
from stn_tf.paper.tables import TABLES, Table, get_table


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("source", ["mnist", "digits"])
def test_every_cell_is_a_valid_experiment(table: Table, source: str) -> None:
    for cell in table.cells:
        name = f"{source}-{cell.experiment}"
        assert name in EXPERIMENTS
        given = {**cell.settings, **table.sanity, **cell.sanity}
        texts = [f"{key}={str(value).lower()}" for key, value in given.items()]
        config = load_experiment(name, texts)
        for key, value in given.items():
            assert getattr(config, key) == value
        assert cell.sanity_bound is not None


def test_table_1_of_the_paper() -> None:
    """Its numbers, typed from the paper's rows once more, and all its forty cells."""
    table = get_table("distorted")
    assert len(table.cells) == 40
    paper = {cell.name: cell.paper for cell in table.cells}
    assert [paper[f"{c}/st-cnn-affine"] for c in table.columns] == [0.7, 0.5, 0.8, 1.2, 1.7]
    assert [paper[f"{c}/st-fcn-tps"] for c in table.columns] == [1.1, 0.8, 1.4, 2.4, None]
    assert [paper[f"{c}/fcn"] for c in table.columns] == [2.1, 5.2, 3.1, 3.2, 13.2]
    assert table.paper_images == 38_400_000


def test_cells_are_chosen_by_patterns_cheap_first() -> None:
    table = get_table("distorted")
    names = [cell.name for cell in table.chosen(["tc/*", "r/cnn", "r/*"])]
    assert len(names) == len(set(names)) == 16
    assert names[0] == "r/fcn"
    assert names.index("tc/fcn") < names.index("tc/st-cnn-affine")
    assert len(table.chosen([])) == 40


@pytest.mark.parametrize(
    ("pattern", "near"), [("r/st-cnn-afine", "r/st-cnn-affine"), ("rts/cnnn", "rts/cnn")]
)
def test_unknown_cell_exception_raised(pattern: str, near: str) -> None:
    with pytest.raises(ConfigError, match=f"Did you mean `{near}`"):
        get_table("distorted").chosen([pattern])


def test_unknown_table_exception_raised() -> None:
    with pytest.raises(ConfigError, match="Did you mean `addition`"):
        get_table("adition")
