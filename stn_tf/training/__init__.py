"""Training, on one device or many, and what it leaves behind.

    load_experiment     settings from a shipped name or a TOML file
    train               runs them, into a run folder; returns the report
    Run                 a run folder: settings, weights, examples, report
    evaluate            error, confusion and per-class table of a run

The names are loaded at first use: settings can be read without importing TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING, Any

_PUBLIC = {
    "Evaluation": "stn_tf.experiments.evaluation",
    "ExperimentConfig": "stn_tf.training.config",
    "Interrupted": "stn_tf.training.interrupt",
    "Report": "stn_tf.experiments.report",
    "Run": "stn_tf.experiments.run",
    "evaluate": "stn_tf.experiments.evaluation",
    "load_experiment": "stn_tf.experiments",
    "train": "stn_tf.training.loop",
}
__all__ = list(_PUBLIC)

if TYPE_CHECKING:
    from stn_tf.experiments import load_experiment as load_experiment
    from stn_tf.training.config import ExperimentConfig as ExperimentConfig
    from stn_tf.experiments.evaluation import Evaluation as Evaluation
    from stn_tf.experiments.evaluation import evaluate as evaluate
    from stn_tf.training.interrupt import Interrupted as Interrupted
    from stn_tf.training.loop import train as train
    from stn_tf.experiments.report import Report as Report
    from stn_tf.experiments.run import Run as Run


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'stn_tf.training' has no attribute {name!r}")
