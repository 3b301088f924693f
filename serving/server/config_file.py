"""The file of models, read again when it has changed."""

import logging
import threading
from pathlib import Path

from stn_tf.errors import ConfigError, StnError
from stn_tf.serving.models.model_config import ModelConfig, parse_model_config
from stn_tf.serving.models.store import ModelStore
from stn_tf.serving.protocol.text_message import read_text

_LOG = logging.getLogger(__name__)


class ConfigFile:
    """`--model_config_file` and its poller; what is wrong with it is said once, on stderr."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._applied: str | None = None
        self._said = ""
        self._stopped = threading.Event()
        self._poller: threading.Thread | None = None

    def read(self) -> list[ModelConfig]:
        """Returns the models, at the start.

        Raises:
            ConfigError: If the file cannot be read or is damaged.
        """
        self._applied = read_text(self._path)
        return parse_model_config(self._applied, str(self._path))

    def start_polling(self, store: ModelStore, interval_seconds: float) -> None:
        """Looks at the file again and again, in a thread, until `close`."""
        self._poller = threading.Thread(
            target=self._poll, args=(store, interval_seconds), name="config-file", daemon=True
        )
        self._poller.start()

    def close(self) -> None:
        """Stops to look, after a reload that is under way."""
        self._stopped.set()
        if self._poller is not None:
            self._poller.join()

    def _poll(self, store: ModelStore, interval_seconds: float) -> None:
        while not self._stopped.wait(interval_seconds):
            try:
                self._reload(store)
                self._said = ""
            except StnError as error:
                if str(error) != self._said:
                    self._said = str(error)
                    _LOG.warning("The models of %s are not all served: %s", self._path, error)

    def _reload(self, store: ModelStore) -> None:
        text = read_text(self._path)
        if text == self._applied:
            return
        configs = parse_model_config(text, str(self._path))
        if not configs:  # More likely a file that is being written than a wish.
            raise ConfigError("The file lists no models; those before it stay.")
        # Until every model is served, it is tried again at each look.
        self._applied = None
        store.reload(configs)
        self._applied = text
