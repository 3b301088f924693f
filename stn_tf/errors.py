"""The errors that stn-tf raises.

    StnError
    ├── ConfigError (also ValueError)   an unknown setting, or a value it cannot have
    ├── DataError                       a folder, file or image that cannot be read
    ├── RunError                        a run folder that cannot be used or written
    ├── ModelError                      a model directory without a loadable model
    ├── InputError (also ValueError)    images that do not fit the model
    └── ExportError                     a model that cannot be exported as asked
        └── ParityError                 an exported file that does not compute what the model does

Wrong arguments of library functions are plain `ValueError` or `TypeError`.
"""


class StnError(Exception):
    """The base of every error of this package; its text is one line that names cause and cure."""


class ConfigError(StnError, ValueError):
    """A setting is unknown or has a value that it cannot have."""


class DataError(StnError):
    """A folder, file or image cannot be read as the data it should be."""


class RunError(StnError):
    """A run folder cannot be used, or a checkpoint in it cannot be written or read."""


class ModelError(StnError):
    """A model directory holds no model, or one that cannot be loaded."""


class InputError(StnError, ValueError):
    """Images do not fit the model that they were given to."""


class ExportError(StnError):
    """A model cannot be exported in the way that was asked for."""


class ParityError(ExportError):
    """An exported file does not compute what the live model computes."""
