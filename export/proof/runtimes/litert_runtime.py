"""Runs the LiteRT file of a version, on the CPU."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stn_tf.export.proof.comparison import Answers
from stn_tf.export.proof.expectations import DEFAULT
from stn_tf.export.publish.manifest import LITERT_FILE, Manifest


def load(folder: Path, manifest: Manifest) -> dict[str, Answers]:
    """Returns the file with its built-in operations, and without delegates that replace them."""
    return {"litert": answers(folder / LITERT_FILE)}


def create_interpreter(path: Path, threads: int | None = None) -> Any:
    """Returns an interpreter: LiteRT's own, or the older one within TensorFlow."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tensorflow.lite import Interpreter
    return Interpreter(model_path=str(path), num_threads=threads)


def answers(path: Path) -> Answers:
    """Returns what a file says in a signature, and with the default one of its transformers."""
    interpreter = create_interpreter(path)
    signatures = interpreter.get_signature_list()

    def answer(feeds: Mapping[str, np.ndarray], signature: str) -> dict[str, np.ndarray] | None:
        if signature not in signatures:
            return None
        given = {name: feeds[name] for name in signatures[signature]["inputs"]}
        return dict(interpreter.get_signature_runner(signature)(**given))

    return answer


def default_runner(path: Path, threads: int | None = None) -> Any:
    """Returns the default signature as a function from named inputs to named outputs."""
    runner = create_interpreter(path, threads).get_signature_runner(DEFAULT)
    return lambda feeds: runner(**feeds)
