"""Runs the LiteRT file of a version, on the CPU."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stn_tf.export.proof.comparison import Answers
from stn_tf.export.proof.runtimes import Prepared
from stn_tf.export.publish.manifest import DEFAULT, LITERT_FILE, LOOKING, Manifest
from stn_tf.quiet import standard_error_closed


def load(folder: Path, manifest: Manifest) -> dict[str, Answers]:
    """Returns the file with its built-in operations, and without delegates that replace them."""
    return {"litert": answers(folder / LITERT_FILE, looks=bool(manifest.samplers))}


def prepare(folder: Path, manifest: Manifest, threads: int) -> dict[str, Prepared]:
    """Returns the default signature for timing."""
    interpreter = create_interpreter(folder / LITERT_FILE, threads or None)
    runner = interpreter.get_signature_runner(DEFAULT)
    inputs = list(runner.get_input_details())

    def run(feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(runner(**{name: feeds[name] for name in inputs}))

    return {"litert": Prepared(run, "CPU, partly XNNPACK")}


def create_interpreter(path: Path, threads: int | None = None) -> Any:
    """Returns an interpreter: LiteRT's own, or the older one within TensorFlow."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tensorflow.lite import Interpreter
    with standard_error_closed():  # It tells of its delegate.
        interpreter = Interpreter(model_path=str(path), num_threads=threads)
        interpreter.allocate_tensors()
    return interpreter


def answers(path: Path, *, looks: bool) -> Answers:
    """Returns what a file says in its default signature.

    Args:
        path: The file.
        looks: Whether `localize` and `rectify` tell of its transformers, and are asked with it.
    """
    interpreter = create_interpreter(path)
    together = (DEFAULT, *LOOKING) if looks else (DEFAULT,)
    runners = {name: interpreter.get_signature_runner(name) for name in together}

    def answer(feeds: Mapping[str, np.ndarray], signature: str) -> dict[str, np.ndarray] | None:
        if signature != DEFAULT:
            return None
        found: dict[str, np.ndarray] = {}
        for runner in runners.values():
            inputs = {name: feeds[name] for name in runner.get_input_details()}
            found |= {name: np.array(value) for name, value in runner(**inputs).items()}
        return found

    return answer
