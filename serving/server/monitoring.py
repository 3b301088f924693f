"""Where metrics are served: TensorFlow Serving's `--monitoring_config_file`."""

import re
from os import PathLike

from stn_tf.errors import ConfigError
from stn_tf.serving.protocol.messages import MonitoringConfig
from stn_tf.serving.protocol.text_message import read_text_message

METRICS_PATH = "/monitoring/prometheus/metrics"
_PATH = re.compile(r"(/[\w.~-]+)+", re.ASCII)
_TAKEN = re.compile(r"/v1/.*|/livez|/readyz")


def read_metrics_path(path: str | PathLike[str]) -> str | None:
    """Reads a `MonitoringConfig`; returns the URL's path, or None where metrics are off.

    Raises:
        ConfigError: If the file cannot be read or is damaged, or the path cannot be.
    """
    config = read_text_message(path, MonitoringConfig).prometheus_config
    if not config.enable:
        return None
    found: str = config.path or METRICS_PATH
    if not _PATH.fullmatch(found) or _TAKEN.fullmatch(found):
        raise ConfigError(
            f"{path}: `path` must be a URL's path that nothing else has, such as `{METRICS_PATH}`, "
            f"but it is {found!r}."
        )
    return found
