"""The shipped experiments, and how settings come from one.

EXPERIMENTS        name -> Experiment; each file here holds a family
load_experiment    checked settings from a name or a TOML file, and overrides
"""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stn_tf.errors import ConfigError
from stn_tf.experiments import digits, folder, mnist
from stn_tf.experiments.experiment import Experiment
from stn_tf.training.config import (
    ExperimentConfig,
    build_config,
    check_keys,
    parse_overrides,
    read_toml,
)

EXPERIMENTS: dict[str, Experiment] = {
    **digits.EXPERIMENTS,
    **mnist.EXPERIMENTS,
    **folder.EXPERIMENTS,
}
__all__ = ["EXPERIMENTS", "Experiment", "load_experiment"]

# Where the schedules of settings that name no shipped experiment come from.
_FAMILIES = {"digits": "digits-rts", "mnist": "mnist-rts", "folder": "folder"}


def load_experiment(name_or_path: str | Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Returns the settings of an experiment.

    Later ones win: the experiment's settings, its schedule, the TOML file's keys, the overrides. A
    `schedule` among the overrides brings its settings along, under the other overrides.

    Args:
        name_or_path: A name in `EXPERIMENTS`, or a TOML file of settings, such as the
            `config.toml` of a run. Its key `base` may name an experiment to start from.
        overrides: `key=value` texts.

    Raises:
        ConfigError: If there is no such experiment, or a key or value is wrong.
    """
    changes = parse_overrides(overrides)
    check_keys(changes)
    name = str(name_or_path)
    if name in EXPERIMENTS:
        file_settings: dict[str, Any] = {}
        base: str | None = name
    elif name.endswith(".toml"):
        file_settings = read_toml(Path(name_or_path))
        check_keys(file_settings, also=("base",))
        base = file_settings.pop("base", None)
    else:
        base, file_settings = name, {}
    if base is not None and base not in EXPERIMENTS:
        raise ConfigError(_unknown(str(base)))

    settings: dict[str, Any] = {"schedule": "short"}
    if base is not None:
        settings |= {"name": base, **EXPERIMENTS[base].settings}
        settings |= EXPERIMENTS[base].schedules["short"]
    elif "name" not in file_settings:
        settings["name"] = Path(name).stem
    for layer in (file_settings, changes):
        if "schedule" in layer:
            settings |= _schedule(layer["schedule"], {**settings, **layer})
        settings |= layer
    return build_config(settings)


def _schedule(schedule: Any, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    name = settings.get("name")
    if name not in EXPERIMENTS:
        name = _FAMILIES.get(str(settings.get("source", "digits")))
    # An unknown schedule or source is named when the settings are checked.
    return EXPERIMENTS[name].schedules.get(str(schedule), {}) if name else {}


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, EXPERIMENTS, n=1, cutoff=0.5)
    hint = f"Did you mean `{near[0]}`?" if near else f"Shipped: {', '.join(EXPERIMENTS)}."
    return f"`{name}` is neither an experiment nor a .toml file. {hint}"
