"""`stn-tf data`."""

import click

from stn_tf.cli.lazy_group import LazyGroup

# Command -> its one-line help. The function `command` of `stn_tf.cli.data_<name>` implements it.
COMMANDS = {
    "pack": "Write images as TFRecord shards.",
    "show": "Draw images as training sees them.",
}


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    modules="stn_tf.cli.data_{}",
    context_settings={"help_option_names": ["-h", "--help"]},
)
def command() -> None:
    """Look at images to train on, or pack them.

    \b
    Examples:
      stn-tf data show photographs --output augmented.png
      stn-tf data pack photographs --out packed
    """
