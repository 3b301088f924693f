"""Asks the live model: what files are compared with."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from stn_tf.errors import ExportError
from stn_tf.export.proof.examples import adversarial_case, made_up_tensors, real_cases
from stn_tf.export.proof.expectations import Case, Expectation, Feeds
from stn_tf.export.proof.runtimes.tensorflow_runtime import without_tensor_float_32
from stn_tf.export.proof.tolerances import tolerance
from stn_tf.export.source.network import Network
from stn_tf.export.tensorflow.functions import ConcreteFunction
from stn_tf.interface import ModelInterface

# Two runtimes round differently by about this much, relative to values of 1.
_ROUNDING = 1e-6


def expect(network: Network, feeds: Feeds, kind: str = "real images") -> list[Expectation]:
    """Asks the live model about ten examples, in batches of 1, 2 and 7, and about hard ones.

    A model of one batch size is asked in batches of that size.
    """
    interface = network.interface
    cases = [*real_cases(interface, feeds, kind), adversarial_case(interface, feeds)]
    with without_tensor_float_32():
        found = [expect_case(network, case) for case in cases]
        for name, function in network.others.items():
            found += _expect_other(name, function)
    return found


def expect_case(network: Network, case: Case) -> Expectation:
    """Asks the live model about one case."""
    answers = network.truth(case.feeds)
    steady = np.ones(len(case), bool)
    shaky = set()
    if network.ties is not None:
        steady &= ~network.ties(case.feeds)
    untold = network.ties is None and any(spec.kernel == "nearest" for spec in network.sampled)
    if untold or not case.real:
        moved = network.truth(_moved(network.interface, case.feeds))
        for name, expected in answers.items():
            if not np.issubdtype(expected.dtype, np.floating) or not expected.size:
                continue
            allowed = tolerance(network.interface, case, name, expected)
            change = np.abs(moved[name] - expected)
            if expected.shape[:1] == steady.shape:
                steady &= change.reshape(len(steady), -1).max(axis=1) <= allowed / 2
            elif change.max() > allowed / 2:
                shaky.add(name)
    chosen = steady if steady.any() else np.ones_like(steady)
    return Expectation(case, answers, chosen, frozenset(shaky))


def _expect_other(name: str, function: ConcreteFunction) -> list[Expectation]:
    """What a signature says that stays as it is."""
    specs = function.structured_input_signature[1]
    try:
        feeds = made_up_tensors(specs, 3)
        said = function(**{key: tf.constant(value) for key, value in feeds.items()})
    except (ExportError, tf.errors.OpError):
        # Of text, and of inputs that must fit each other, nobody knows examples.
        return []
    case = Case(f"made-up inputs of {name}", feeds)
    answers = {key: value.numpy() for key, value in said.items()}
    return [Expectation(case, answers, np.ones(len(case), bool), signature=name)]


def _moved(interface: ModelInterface, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    moved = {}
    for spec in interface.inputs:
        values = feeds[spec.name]
        low, high = spec.limits or (0.0, 1.0)
        noise = rng.uniform(-_ROUNDING, _ROUNDING, values.shape) * (high - low)
        floating = np.issubdtype(values.dtype, np.floating)
        moved[spec.name] = (values + noise).astype(values.dtype) if floating else values
    return moved
