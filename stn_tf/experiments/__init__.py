"""From the name of an experiment to a trained run.

    EXPERIMENTS        name -> Experiment
    load_experiment    checked settings from a name or a TOML file, and overrides
    train              runs them, into a run folder; returns the report
    Run                a run folder: settings, weights, examples, report
    evaluate           error, confusion and per-class table of a run

Importing this package does not import TensorFlow; what needs it is loaded at first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

from stn_tf.experiments.settings import EXPERIMENTS, load_experiment

if TYPE_CHECKING:
    from stn_tf.experiments.evaluation import Evaluation, evaluate
    from stn_tf.experiments.report import Report
    from stn_tf.experiments.run import Run
    from stn_tf.experiments.training import train

__all__ = ["EXPERIMENTS", "Evaluation", "Report", "Run", "evaluate", "load_experiment", "train"]

_LAZY = {
    "Evaluation": "stn_tf.experiments.evaluation",
    "Report": "stn_tf.experiments.report",
    "Run": "stn_tf.experiments.run",
    "evaluate": "stn_tf.experiments.evaluation",
    "train": "stn_tf.experiments.training",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'stn_tf.experiments' has no attribute {name!r}")
