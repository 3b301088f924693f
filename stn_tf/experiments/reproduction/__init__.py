"""The paper's tables, from runs that were really made.

    reproduce        runs the cells of a table, or goes on where it stopped
    Results          what was found, in `results.json`
    markdown         a table of it, as docs/results.md shows it

This package does not import TensorFlow: each run has a process of its own.
"""

from stn_tf.experiments.reproduction.results import Results
from stn_tf.experiments.reproduction.runner import reproduce
from stn_tf.experiments.reproduction.table import markdown

__all__ = ["Results", "markdown", "reproduce"]
