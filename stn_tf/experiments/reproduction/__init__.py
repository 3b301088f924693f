"""The paper's tables, from runs that were really made.

    get_table        the tables, by name
    reproduce        runs the cells of a table, or goes on where it stopped
    Results          what was found, in `results.json`
    markdown         a table of it, as docs/results.md shows it
    check_changes, failed_sanity   what is refused, and what missed its bound

This package does not import TensorFlow: each run has a process of its own.
"""

from stn_tf.experiments.reproduction.results import Results
from stn_tf.experiments.reproduction.runner import check_changes, reproduce
from stn_tf.experiments.reproduction.table import failed_sanity, markdown
from stn_tf.paper.tables import get_table

__all__ = ["Results", "check_changes", "failed_sanity", "get_table", "markdown", "reproduce"]
