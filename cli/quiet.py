"""Starts TensorFlow without its lines about this machine, which are no concern of the command."""

import click

from stn_tf import quiet


def import_tensorflow() -> None:
    """Imports TensorFlow in silence, unless `--debug` was given."""
    context = click.get_current_context(silent=True)
    if context is None or not context.find_root().params.get("debug"):
        quiet.import_tensorflow()
