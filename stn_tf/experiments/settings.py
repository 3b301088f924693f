"""The shipped experiments, and how settings come from one. TensorFlow is not imported here."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stn_tf.errors import ConfigError
from stn_tf.experiments import folder
from stn_tf.experiments.images_config import ImagesConfig
from stn_tf.paper import (
    addition_experiments,
    colocalisation_experiments,
    digits_experiments,
    mnist_experiments,
    volume_experiments,
)
from stn_tf.paper.config import AdditionConfig, ColocalisationConfig, PaperConfig, VolumesConfig
from stn_tf.recipe import Experiment, ExperimentConfig
from stn_tf.training.config import (
    build_config,
    check_keys,
    parse_overrides,
    read_toml,
)

EXPERIMENTS: dict[str, Experiment] = {
    **digits_experiments.EXPERIMENTS,
    **mnist_experiments.EXPERIMENTS,
    **addition_experiments.EXPERIMENTS,
    **colocalisation_experiments.EXPERIMENTS,
    **volume_experiments.EXPERIMENTS,
    **folder.EXPERIMENTS,
}
# By the setting `recipe`.
_CONFIGS: dict[str, type[ExperimentConfig]] = {
    "paper": PaperConfig,
    "addition": AdditionConfig,
    "colocalisation": ColocalisationConfig,
    "volumes": VolumesConfig,
    "images": ImagesConfig,
}
# Settings of the paper's recipe alone: a file with one of them is of that recipe.
_PAPER_KEYS = frozenset(PaperConfig.model_fields) - frozenset(ImagesConfig.model_fields)
# Where the schedules of settings that name no shipped experiment come from.
_FAMILIES = {
    "paper": "rts",
    "addition": "addition",
    "colocalisation": "colocalisation-t",
    "volumes": "volumes",
}


def load_experiment(name_or_path: str | Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Returns the settings of an experiment.

    Later ones win: the experiment's settings, its schedule, the TOML file's keys, the overrides. A
    `schedule` among the overrides brings its settings along, under the other overrides.

    Args:
        name_or_path: A name in `EXPERIMENTS`, or a TOML file of settings, such as the
            `config.toml` of a run. Its key `base` may name an experiment to start from.
        overrides: `key=value` texts.

    Returns:
        The settings, of the class of their recipe.

    Raises:
        ConfigError: If there is no such experiment, or a key or value is wrong.
    """
    changes = parse_overrides(overrides)
    name = str(name_or_path)
    if name in EXPERIMENTS:
        file_settings: dict[str, Any] = {}
        base: str | None = name
    elif name.endswith(".toml"):
        file_settings = read_toml(Path(name_or_path))
        base = file_settings.pop("base", None)
    else:
        base, file_settings = name, {}
    if base is not None and base not in EXPERIMENTS:
        raise ConfigError(_unknown(str(base)))

    settings: dict[str, Any] = {}
    if base is not None:
        settings |= {"name": base, **EXPERIMENTS[base].settings}
    kind = config_class({**settings, **file_settings, **changes})
    check_keys({**file_settings, **changes}, tuple(kind.model_fields))
    if base is not None:
        settings |= EXPERIMENTS[base].schedules.get("short", {})
    elif "name" not in file_settings:
        settings["name"] = Path(name).stem
    for layer in (file_settings, changes):
        if "schedule" in layer:
            settings |= _schedule(layer["schedule"], {**settings, **layer})
        settings |= layer
        if "epochs" in layer and "steps" not in layer and "steps" in settings:
            del settings["steps"]  # They follow.
    return build_config(kind, settings)


def config_class(settings: Mapping[str, Any]) -> type[ExperimentConfig]:
    """Returns the class of settings: by their `recipe`, or by what they set.

    Raises:
        ConfigError: If there is no such recipe.
    """
    recipe = settings.get("recipe", "paper" if _PAPER_KEYS & set(settings) else "images")
    if recipe not in _CONFIGS:
        raise ConfigError(f"`recipe` must be one of {', '.join(_CONFIGS)}, but it is {recipe!r}.")
    return _CONFIGS[str(recipe)]


def _schedule(schedule: Any, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    name = settings.get("name")
    if name not in EXPERIMENTS:
        family = _FAMILIES.get(str(settings.get("recipe", "paper")))
        name = f"{settings.get('source', 'digits')}-{family}"
    # An unknown schedule or source is named when the settings are checked.
    found = EXPERIMENTS.get(str(name))
    return found.schedules.get(str(schedule), {}) if found else {}


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, EXPERIMENTS, n=1, cutoff=0.5)
    hint = f"Did you mean `{near[0]}`?" if near else f"Shipped: {', '.join(EXPERIMENTS)}."
    return f"`{name}` is neither an experiment nor a .toml file. {hint}"
