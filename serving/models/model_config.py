"""TensorFlow Serving's list of models, `models.config`, read without TensorFlow."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stn_tf.errors import ConfigError
from stn_tf.serving.models.version_policy import All, Latest, Specific, VersionPolicy
from stn_tf.serving.protocol.messages import ModelServerConfig
from stn_tf.serving.protocol.text_message import parse_text_message

_MESSAGE = "tensorflow.serving.ModelServerConfig"
# The engine is chosen by what is in the version directory.
_PLATFORMS = ("", "tensorflow")
_OTHER = 2


@dataclass(frozen=True)
class LoggingConfig:
    """What a model's configuration says of the request log.

    Attributes:
        prefix: How the paths of the files start; None leaves it to the server.
        sampling: The share of requests, 0..1; None leaves it to the server.
    """

    prefix: Path | None = None
    sampling: float | None = None


@dataclass(frozen=True)
class ModelConfig:
    """A model to be served.

    Attributes:
        name: What requests call it.
        base_path: The folder that holds its versions.
        policy: Which of them are served.
        labels: Label -> version.
        logging: Of its requests.
    """

    name: str
    base_path: Path
    policy: VersionPolicy = field(default_factory=Latest)
    labels: Mapping[str, int] = field(default_factory=dict)
    logging: LoggingConfig = LoggingConfig()


def parse_model_config(text: str, source: str = "the text") -> list[ModelConfig]:
    """Reads the text of a `ModelServerConfig`; errors name `source`, line and column.

    Raises:
        ConfigError: If it is not such a message, or a value cannot be.
    """
    return model_configs(parse_text_message(text, ModelServerConfig, source))


def model_configs(config: Any) -> list[ModelConfig]:
    """Reads a `ModelServerConfig` message, of a file or of a request to reload.

    Raises:
        ConfigError: If it lists no models in the one way that is served, or a value cannot be.
    """
    kind = config.WhichOneof("config")
    if kind == "custom_model_config":
        raise ConfigError(
            f"`custom_model_config` of {_MESSAGE} is not supported. Use `model_config_list`."
        )
    return [_model(entry) for entry in config.model_config_list.config]


def _model(entry: Any) -> ModelConfig:
    if not entry.name:
        raise ConfigError("Every model of `model_config_list` must have a `name`.")
    where = f"of model {entry.name}"
    if entry.model_platform not in _PLATFORMS or entry.model_type == _OTHER:
        platform = entry.model_platform or "OTHER"
        raise ConfigError(f"`model_platform` {where} must be tensorflow, but it is {platform!r}.")
    base_path = Path(entry.base_path)
    if not base_path.is_absolute():
        raise ConfigError(
            f"`base_path` {where} must be an absolute path of this machine, "
            f"but it is {entry.base_path!r}."
        )
    labels = dict(entry.version_labels)
    for label, version in labels.items():
        if not label or version < 0:
            raise ConfigError(
                f"`version_labels` {where} must give versions, but {label!r} is {version}."
            )
    policy = _policy(entry.model_version_policy, where)
    logging = _logging(entry.logging_config, where)
    return ModelConfig(entry.name, base_path, policy, labels, logging)


def _logging(config: Any, where: str) -> LoggingConfig:
    prefix = config.log_collector_config.filename_prefix
    if prefix and (not Path(prefix).is_absolute() or prefix.endswith("/")):
        raise ConfigError(
            f"`filename_prefix` {where} must be the absolute path of a file without its end, "
            f"but it is {prefix!r}."
        )
    sampling = None
    if config.HasField("sampling_config"):
        sampling = config.sampling_config.sampling_rate
        if not 0 <= sampling <= 1:
            raise ConfigError(f"`sampling_rate` {where} must be in 0..1, but it is {sampling}.")
    return LoggingConfig(Path(prefix) if prefix else None, sampling)


def _policy(policy: Any, where: str) -> VersionPolicy:
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return All()
    if kind == "specific":
        versions = frozenset(policy.specific.versions)
        if not versions or min(versions) < 0:
            raise ConfigError(
                f"`model_version_policy` {where} must name specific versions, at least 0, "
                f"but it names {sorted(versions)}."
            )
        return Specific(versions)
    return Latest(max(policy.latest.num_versions, 1))
