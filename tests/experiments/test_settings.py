"""From names, files and texts to checked settings, without TensorFlow."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stn_tf.data import KINDS
from stn_tf.data.augmentation import Augmentation
from stn_tf.errors import ConfigError
from stn_tf.experiments import EXPERIMENTS, load_experiment
from stn_tf.experiments.images_config import ImagesConfig
from stn_tf.experiments.recipes import recipe_of
from stn_tf.models import BACKBONES
from stn_tf.paper import DISTORTIONS, SOURCES
from stn_tf.paper.config import PaperConfig
from stn_tf.training.config import FitConfig, build_config, parse_overrides

PAPER = [name for name in EXPERIMENTS if name != "folder"]


@pytest.mark.parametrize(
    ("name", "schedule"), [(name, kind) for name in PAPER for kind in EXPERIMENTS[name].schedules]
)
def test_every_schedule_of_every_experiment_is_valid(name, schedule):
    config = load_experiment(name, [f"schedule={schedule}"])
    assert (config.name, config.schedule) == (name, schedule)
    assert config.warmup_steps < config.steps


def test_paper_schedule_preset():
    config = load_experiment("mnist-rts", ["schedule=paper"])
    assert (config.steps, config.batch_size, config.optimizer) == (150_000, 256, "sgd")
    assert (config.learning_rate, config.learning_rate_schedule) == (0.01, "step")
    assert (config.learning_rate_every, config.learning_rate_drop) == (50_000, 0.1)


def test_explicit_settings_win_over_the_schedule_in_any_order():
    for overrides in (["steps=7", "schedule=paper"], ["schedule=paper", "steps=7"]):
        config = load_experiment("mnist-rts", overrides)
        assert (config.steps, config.optimizer) == (7, "sgd")


def test_choices_are_those_of_the_data():
    def choices(field: str) -> tuple[str, ...]:
        annotation: Any = PaperConfig.model_fields[field].annotation
        return annotation.__args__

    assert set(choices("source")) == set(SOURCES)
    assert set(choices("distortion")) == set(DISTORTIONS)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["step=3"], "`step` is not a setting. Did you mean `steps`?"),
        (["learning-rate=1"], "`learning-rate` is not a setting. Did you mean `learning_rate`?"),
        (["zzz=3"], f"`zzz` is not a setting. Valid keys: {', '.join(PaperConfig.model_fields)}."),
        (["steps"], "A setting must have the form key=value, but it is 'steps'."),
        (["steps=0"], "`steps` must be greater than or equal to 1, but it is 0."),
        (["steps=1.5"], "`steps` must be a valid integer, but it is 1.5."),
        (["seed=true"], "`seed` must be a valid integer, but it is True."),
        (["learning_rate=nan"], "`learning_rate` must be a finite number, but it is nan."),
        (
            ["optimizer=adm"],
            "`optimizer` must be 'sgd', 'momentum', 'adam' or 'adamw', but it is 'adm'.",
        ),
        (["schedule=lng"], "`schedule` must be 'short', 'long' or 'paper', but it is 'lng'."),
        (
            ["image_size=[64]"],
            "`image_size` must be height and width in whole pixels, such as [64, 64], "
            "but it is [64].",
        ),
        (
            ["xla=true"],
            "`xla` needs `deterministic` to be false, because XLA has no deterministic gradient "
            "of max-pooling. Add deterministic=false.",
        ),
    ],
)
def test_wrong_setting_exception_raised(overrides, message):
    with pytest.raises(ConfigError) as caught:
        load_experiment("digits-rts", overrides)
    assert str(caught.value) == message


def test_unknown_experiment_exception_raised():
    with pytest.raises(ConfigError, match="Did you mean `mnist-rts`"):
        load_experiment("mnist-rs")
    with pytest.raises(ConfigError, match=r"Cannot read `none\.toml`: No such file"):
        load_experiment("none.toml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=1", 1),
        ("a=1e-3", 1e-3),
        ("a=true", True),
        ("a=[96, 96]", [96, 96]),
        ("a='007'", "007"),
        ("a=st-cnn-tps", "st-cnn-tps"),
        ("a=/data/my images", "/data/my images"),
        ("a=x=y", "x=y"),
        ("a=", ""),
        ("a=1\nb=2", "1\nb=2"),
    ],
)
def test_parse_overrides_preset(text, value):
    assert parse_overrides([text]) == {"a": value}


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
SIZES = st.none() | st.tuples(st.integers(1, 999), st.integers(1, 999))
FACTORS = st.dictionaries(TEXTS, st.floats(0, 1e30), max_size=3)


@given(
    name=TEXTS,
    rate=st.floats(1e-30, 1e30),
    size=SIZES,
    deterministic=st.booleans(),
    factors=FACTORS,
    frozen=st.lists(TEXTS, max_size=2),
)
@pytest.mark.parametrize("kind", [PaperConfig, ImagesConfig])
def test_toml_round_trip_random(
    kind: type[Any],
    name: str,
    rate: float,
    size: tuple[int, int] | None,
    deterministic: bool,
    factors: dict[str, float],
    frozen: list[str],
) -> None:
    config = kind(
        name=name,
        data_dir=name,
        learning_rate=rate,
        image_size=size,
        deterministic=deterministic,
        rates=factors,
        frozen=tuple(frozen),
    )
    assert build_config(kind, tomllib.loads(config.to_toml())) == config


@given(changes=FACTORS, weights=FACTORS)
def test_toml_round_trip_of_tables_random(
    changes: dict[str, float], weights: dict[str, float]
) -> None:
    augment = {"rotate": 30.0, "flip": "none", "scale": [0.5, 1.5], **changes}
    config = ImagesConfig(augment=augment, class_weights=weights, value_range=(0.0, 255.0))
    assert build_config(ImagesConfig, tomllib.loads(config.to_toml())) == config


@pytest.mark.parametrize("name", PAPER)
def test_toml_file_repeats_the_experiment(name, tmp_path: Path):
    config = load_experiment(name, ["schedule=long", "seed=3"])
    path = tmp_path / "config.toml"
    path.write_text(config.to_toml(), encoding="utf-8")
    assert load_experiment(path) == config
    # A schedule given beside the file brings its settings along.
    short = load_experiment(path, ["schedule=short"])
    assert (short.steps, short.seed) == (load_experiment(name).steps, 3)
    assert short.steps < config.steps


def test_toml_file_with_a_base_changes_only_its_keys(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text('base = "mnist-tc"\nsteps = 12\n', encoding="utf-8")
    expected = load_experiment("mnist-tc").model_copy(update={"steps": 12})
    assert load_experiment(path) == expected


def test_bad_toml_file_exception_raised(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text("steps = \n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"mine\.toml` is not valid TOML: Invalid value"):
        load_experiment(path)
    path.write_text("stps = 3\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="Did you mean `steps`"):
        load_experiment(path)
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(ConfigError, match="it is not UTF-8 text"):
        load_experiment(path)


def test_paper_reports_its_last_weights_and_folder_its_best() -> None:
    assert {load_experiment(name).choose for name in PAPER} == {"last"}
    assert load_experiment("folder").choose == "best"


def test_folder_is_of_the_recipe_for_images() -> None:
    config = load_experiment("folder", ["image_size=64", "crop_size=[32, 48]", "patience=3"])
    assert isinstance(config, ImagesConfig)
    assert config.data in KINDS
    assert config.backbone in ("auto", *BACKBONES)
    assert Augmentation.of(config.augment) == Augmentation.of("standard")
    assert (config.image_size, config.crop_size, config.patience) == ((64, 64), (32, 48), 3)
    for setting in ("distortion=rts", "schedule=long", "source=digits"):
        with pytest.raises(ConfigError, match="is not a setting"):
            load_experiment("folder", [setting])


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("steps = 3", ImagesConfig),
        ('model = "mine:build"\ndata = "mine:load"', ImagesConfig),
        ('base = "folder"\ntransformers = 2', ImagesConfig),
        ('source = "digits"', PaperConfig),
        ('distortion = "r"', PaperConfig),
        ('recipe = "paper"', PaperConfig),
        ('base = "digits-r"', PaperConfig),
    ],
)
def test_recipe_of_a_file(text: str, kind: type[FitConfig], tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    config: Any = load_experiment(path)
    assert type(config) is kind
    assert recipe_of(config).Config is kind
    base = [line.split('"')[1] for line in text.splitlines() if line.startswith("base")]
    assert config.name == (base or ["mine"])[0]


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        (
            "folder",
            ["recipe=papr"],
            "`recipe` must be one of paper, addition, colocalisation, volumes, images, "
            "but it is 'papr'.",
        ),
        (
            "folder",
            ["transformer=2"],
            "`transformer` is not a setting. Did you mean `transformers`?",
        ),
        (
            "folder",
            ["image_size=[64]"],
            "`image_size` must be height and width in whole pixels, such as [64, 64], "
            "but it is [64].",
        ),
        (
            "digits-r",
            ["image_size=[64]"],
            "`image_size` must be height and width in whole pixels, such as [64, 64], "
            "but it is [64].",
        ),
        (
            "folder",
            ["class_weights={cat=x}"],
            "`class_weights` must be a valid dictionary, but it is '{cat=x}'.",
        ),
        (
            "folder",
            ['class_weights={cat="x"}'],
            "`class_weights` must be a valid number, but it is {'cat': 'x'}.",
        ),
        (
            "folder",
            ["validation_share=1.0"],
            "`validation_share` must be less than 1, but it is 1.0.",
        ),
    ],
)
def test_wrong_setting_of_a_recipe_exception_raised(
    name: str, overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_experiment(name, overrides)
    assert str(caught.value) == message


def test_one_number_is_a_square() -> None:
    for name in ("mnist-r", "mnist-addition"):
        config: Any = load_experiment(name, ["crop_size=56"])
        assert config.crop_size == (56, 56)
