"""The settings of `fit`, and the text forms of any settings: `key=value` and TOML.

This module does not import TensorFlow.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stn_tf.errors import ConfigError


class FitConfig(BaseModel):
    """How, where and when a model is trained; nothing of what it is or of what it sees.

    Parts of a model are named by their layers: a name stands for the layer of that name, wherever
    it is nested, and all that is in it.

    Attributes:
        steps: How many updates in all.
        optimizer: `sgd`, `momentum` (0.9), `adam`, or `adamw`, which is `adam` whose weight decay
            does not pass through its moments; Keras's `adam` decays in that way too.
        learning_rate: The rate after warming up.
        learning_rate_schedule: `cosine` to zero, `step`, or `constant`.
        learning_rate_every: Of `step`: after how many steps the rate drops.
        learning_rate_drop: Of `step`: by which factor.
        warmup_steps: Over how many steps the rate rises from zero.
        localisation_rate: The factor of the rate for the localisation of every transformer.
        rates: Factors of the rate for other parts, by name of layer.
        frozen_steps: For how many steps at first the layers of `frozen` keep their weights.
        frozen: Names of layers.
        weight_decay: Of all but biases and what normalises.
        clip_norm: The greatest norm of all gradients together; 0 for no limit.
        accumulate_steps: How many steps' gradients are averaged for one update.
        ema: The momentum of an exponential moving average of the weights, which validation and the
            finished model use; 0 for none.
        seed: Of weights, dropout and data.
        deterministic: Whether the operations of TensorFlow give the same bits each time.
        mixed_precision: What layers compute in.
        xla: Whether a replica's step is compiled by XLA.
        strategy: `one` device, `mirrored` over those of this machine, `multi-worker` by
            `TF_CONFIG`, or `auto`: the last that can be had.
        log_every: In steps.
        evaluate_every: In steps; the end of training is always evaluated.
        checkpoint_every: In steps.
        checkpoint_minutes: And after so many minutes, whatever the steps; 0 for never.
        keep_checkpoints: How many of the last are kept, beside the best.
        monitor: The validation figure that chooses the best checkpoint, or `auto`: the first metric
            if there is one, or else the loss.
        choose: Which weights the finished model has: the `best` by `monitor`, or the `last`.
        patience: Training stops early after so many evaluations without a better one; 0 for never.
        on_nan: What a loss or an update that is no number leads to: `stop`, or `skip` the step.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True
    )

    steps: int = Field(1000, ge=1)
    optimizer: Literal["sgd", "momentum", "adam", "adamw"] = "adam"
    learning_rate: float = Field(1e-3, gt=0)
    learning_rate_schedule: Literal["cosine", "step", "constant"] = "cosine"
    learning_rate_every: int = Field(50_000, ge=1)
    learning_rate_drop: float = Field(0.1, gt=0, le=1)
    warmup_steps: int = Field(0, ge=0)
    localisation_rate: float = Field(1.0, ge=0)
    rates: dict[str, float] = Field(default_factory=dict)
    frozen_steps: int = Field(0, ge=0)
    frozen: tuple[str, ...] = ()
    weight_decay: float = Field(0.0, ge=0)
    clip_norm: float = Field(0.0, ge=0)
    accumulate_steps: int = Field(1, ge=1)
    ema: float = Field(0.0, ge=0, lt=1)
    seed: int = Field(0, ge=0, lt=2**31)
    deterministic: bool = True
    mixed_precision: Literal["none", "float16", "bfloat16"] = "none"
    xla: bool = False
    strategy: Literal["auto", "one", "mirrored", "multi-worker"] = "auto"
    log_every: int = Field(10, ge=1)
    evaluate_every: int = Field(500, ge=1)
    checkpoint_every: int = Field(500, ge=1)
    checkpoint_minutes: float = Field(1.0, ge=0)
    keep_checkpoints: int = Field(3, ge=1)
    monitor: str = "auto"
    choose: Literal["best", "last"] = "best"
    patience: int = Field(0, ge=0)
    on_nan: Literal["stop", "skip"] = "stop"

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


Settings = TypeVar("Settings", bound=FitConfig)


def build_config(kind: type[Settings], settings: Mapping[str, Any]) -> Settings:
    """Returns checked settings.

    Raises:
        ConfigError: If a key is unknown or a value cannot be; one line that names it.
    """
    check_keys(settings, tuple(kind.model_fields))
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError(" ".join(_explain(error, values))) from None


def check_keys(keys: Iterable[str], valid: tuple[str, ...]) -> None:
    """Raises ConfigError, with the nearest valid key, if one of the keys is unknown."""
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
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml_value, value))}]"
    if isinstance(value, Mapping):
        pairs = (f"{_toml_key(key)} = {_toml_value(item)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    # JSON's texts, numbers and booleans are TOML's. DEL alone must be escaped in TOML only.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml_value(key)


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
