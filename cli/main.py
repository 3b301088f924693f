"""The `stn-tf` command: a lazy group, so that `--help` never imports TensorFlow."""

import os
import signal
import sys
import threading
import traceback
from types import FrameType
from typing import Any

import click

import stn_tf
from stn_tf.cli.lazy_group import LazyGroup

# Command -> its one-line help. The function `command` of `stn_tf.cli.<name>` implements it.
COMMANDS = {
    "train": "Train a network of an experiment.",
    "data": "Look at images to train on, or pack them.",
    "reproduce": "Run the experiments of one of the paper's tables.",
    "evaluate": "Measure a trained run on its test images.",
    "export": "Write a model as SavedModel, ONNX and LiteRT.",
    "validate": "Compare an exported version with what its model said.",
    "benchmark": "Time an exported version in the runtimes that are here.",
    "inspect": "Say what is in a model file, and what surprises in production.",
    "migrate": "Bring a TensorFlow Addons SavedModel to stock TensorFlow and ONNX.",
    "serve": "Serve exported models over gRPC and REST.",
    "client": "Ask a server of models over gRPC or REST.",
    "predict": "Run an exported model over images.",
    "plot": "Draw where an exported model looks.",
    "doctor": "Say which sampler is in use, and why.",
    "demo": "Train, export and predict on real digits, end to end.",
}


class _Main(LazyGroup):
    def invoke(self, ctx: click.Context) -> Any:
        # So that what is half done is cleaned up; commands that do more about it do it themselves.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _terminate)
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if ctx.params.get("debug"):
                traceback.print_exc()
            text = " ".join(str(error).split()) or type(error).__name__
            click.echo(f"Error: {text}", err=True)
            sys.exit(1)


def _terminate(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


@click.group(
    cls=_Main,
    lazy=COMMANDS,
    modules="stn_tf.cli.{}",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(stn_tf.__version__, prog_name="stn-tf")
@click.option("--debug", is_flag=True, help="Show the whole trace of an error.")
def main(debug: bool) -> None:
    """Train spatial transformer networks and take them to production.

    \b
    stn-tf train digits-rts --out runs/digits
    stn-tf export runs/digits --out exports/digits
    stn-tf predict exports/digits images/ --output predictions.csv
    """
    if not debug:
        # TensorFlow's C++ start-up lines; errors still show. Read when TensorFlow is imported.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


if __name__ == "__main__":
    main()
