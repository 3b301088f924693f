"""The settings of an experiment, and their text forms: `key=value` and TOML.

This module does not import TensorFlow.
"""

import difflib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stn_tf.errors import ConfigError

Size = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]


class ExperimentConfig(BaseModel):
    """Everything that decides the outcome of a training run."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True
    )

    name: str = "experiment"
    # What is learned.
    source: Literal["digits", "mnist", "folder"] = "digits"
    data_dir: str | None = None
    image_size: Size | None = None
    channels: Literal[1, 3] | None = None
    distortion: Literal["none", "r", "rts", "p", "e", "tc"] = "none"
    # What learns.
    model: str = "st-cnn-affine"
    crop_size: Size | None = None
    pool_crops: bool = False
    # How it learns. A schedule is a bundle of the settings below; keys set beside it win.
    schedule: Literal["short", "long", "paper"] = "short"
    steps: int = Field(1000, ge=1)
    batch_size: int = Field(256, ge=1)
    optimizer: Literal["sgd", "momentum", "adam"] = "adam"
    learning_rate: float = Field(1e-3, gt=0)
    learning_rate_schedule: Literal["cosine", "step", "constant"] = "cosine"
    learning_rate_every: int = Field(50_000, ge=1)
    learning_rate_drop: float = Field(0.1, gt=0, le=1)
    warmup_steps: int = Field(0, ge=0)
    localisation_rate: float = Field(1.0, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    seed: int = Field(0, ge=0, lt=2**31)
    # Where and how fast it runs.
    deterministic: bool = True
    mixed_precision: Literal["none", "float16", "bfloat16"] = "none"
    xla: bool = False
    strategy: Literal["auto", "one", "mirrored", "multi-worker"] = "auto"
    # What it writes, in steps.
    log_every: int = Field(10, ge=1)
    evaluate_every: int = Field(500, ge=1)
    checkpoint_every: int = Field(500, ge=1)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.xla and self.deterministic:
            raise ValueError(
                "`xla` needs `deterministic` to be false, because XLA has no deterministic "
                "gradient of max-pooling. Add deterministic=false."
            )
        return self

    def to_toml(self) -> str:
        """Returns the settings as a TOML document; those that are None are left out."""
        settings = self.model_dump(exclude_none=True)
        return "".join(f"{key} = {_toml_value(value)}\n" for key, value in settings.items())


KEYS = tuple(ExperimentConfig.model_fields)


def build_config(settings: Mapping[str, Any]) -> ExperimentConfig:
    """Returns checked settings.

    Raises:
        ConfigError: If a key is unknown or a value cannot be; one line that names it.
    """
    check_keys(settings)
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    try:
        return ExperimentConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(" ".join(_explain(error, values))) from None


def check_keys(keys: Iterable[str], also: tuple[str, ...] = ()) -> None:
    """Raises ConfigError, with the nearest valid key, if one of the keys is unknown."""
    valid = (*KEYS, *also)
    for key in keys:
        if key not in valid:
            near = difflib.get_close_matches(key, valid, n=1, cutoff=0.5)
            cure = f"Did you mean `{near[0]}`?" if near else f"Valid keys: {', '.join(valid)}."
            raise ConfigError(f"`{key}` is not a setting. {cure}")


def parse_overrides(overrides: Iterable[str]) -> dict[str, Any]:
    """Returns the settings in `key=value` texts; a value is TOML or, failing that, a bare word."""
    settings = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"A setting must have the form key=value, but it is {text!r}.")
        settings[key.strip()] = _parse_value(value.strip())
    return settings


def read_toml(path: Path) -> dict[str, Any]:
    """Returns the settings in a TOML file, unchecked."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"Cannot read `{path}`: {reason}.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"`{path}` is not valid TOML: {error}.") from None


def _parse_value(text: str) -> Any:
    try:
        document = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return document["value"] if len(document) == 1 else text


def _toml_value(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    # JSON's texts, numbers and booleans are TOML's. DEL alone must be escaped in TOML only.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _explain(error: ValidationError, values: Mapping[str, Any]) -> Iterator[str]:
    explained = set()
    for detail in error.errors():
        key = str(detail["loc"][0]) if detail["loc"] else ""
        if key in explained:
            continue  # Pydantic lists one error per element and per branch of a union.
        explained.add(key)
        if not key:
            yield detail["msg"].removeprefix("Value error, ")
            continue
        rule = detail["msg"].replace("Input should", "must", 1)
        if key in ("image_size", "crop_size"):
            rule = "must be height and width in whole pixels, such as [64, 64]"
        value = values[key]
        yield f"`{key}` {rule}, but it is {list(value) if isinstance(value, tuple) else value!r}."
