"""How far outputs may be off under less precision, held against what that does to probabilities."""

import numpy as np
import pytest

from stn_tf.export.proof.expectations import Case
from stn_tf.export.proof.tolerances import OWN, tolerance
from stn_tf.interface import InputSpec, ModelInterface, OutputSpec

INTERFACE = ModelInterface(
    inputs=(InputSpec(name="x", dtype="float32", shape=(None, 4)),),
    outputs=(
        OutputSpec(name="logits", dtype="float32", shape=(None, 5), meaning="logits"),
        OutputSpec(name="numbers", dtype="float32", shape=(None, 5), meaning="raw"),
    ),
    task="classification",
    class_names=tuple("abcde"),
)
CASE = Case("made up", {"x": np.zeros((2, 4), np.float32)})


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("precision", ["float16", "int8"])
@pytest.mark.parametrize("scale", [0.01, 0.8])
def test_small_logits_may_differ_as_probabilities_may(
    precision: str, scale: float, rng: np.random.Generator
) -> None:
    """As after a short training; the worst of many changes of that size, in float64."""
    logits = rng.normal(size=(20_000, 5)) * scale
    allowed = tolerance(INTERFACE, CASE, "logits", logits[:2] / np.abs(logits[:2]).max() * scale,
                        precision=precision)  # fmt: skip
    assert allowed == pytest.approx(2 * OWN[precision])
    moved = softmax(logits + allowed * rng.choice([-1, 1], logits.shape))
    assert np.abs(moved - softmax(logits)).max() < OWN[precision]


def test_float32_and_other_numbers_stay_as_strict() -> None:
    small = np.full((2, 5), 0.5)
    assert tolerance(INTERFACE, CASE, "logits", small) == pytest.approx(0.5e-4)
    found = tolerance(INTERFACE, CASE, "numbers", small, precision="float16")
    assert found == pytest.approx(0.5 * OWN["float16"])


def test_large_logits_may_differ_by_their_share() -> None:
    found = tolerance(INTERFACE, CASE, "logits", np.full((2, 5), -8.0), precision="float16")
    assert found == pytest.approx(8 * OWN["float16"])
