"""Every layer of the list in an ONNX file of every form, in ONNX Runtime with and without us.

`make test` runs every pair of choices in every form, `make tests-full` all of them.
"""

import dataclasses
import functools

import numpy as np
import onnx
import pytest
import tensorflow as tf

from stn_tf.errors import ExportError
from stn_tf.export import OnnxOptions
from stn_tf.export.conversion.onnx_file import convert
from stn_tf.export.proof.runtimes.onnx_runtime import onnx_runtime
from stn_tf.export.sampler_spec import is_sampler
from stn_tf.layers import SpatialTransformer
from tests.conformance.test_transformers import CASES, PAIRS, Case, group
from tests.pairs import parameters

FORMS = ("dual", "standard", "custom")
# What ONNX Runtime's GridSample refuses is in no file that needs it.
REFUSED = [case for case in CASES if case.dimensions == 3 and case.kernel == "bicubic"]
EXPORTED = [
    (case, form) for form in FORMS for case in CASES if form == "custom" or case not in REFUSED
]


def _choices(exported: tuple[Case, str]) -> tuple:
    case, form = exported
    return (*dataclasses.astuple(case), form)


@functools.cache
def _layer(case: Case) -> SpatialTransformer:
    return case.layer()


@functools.cache
def _function(cases: tuple[Case, ...]) -> tf.types.experimental.ConcreteFunction:
    """The layers of all cases, an output each: many in one graph, because tracing takes a while."""
    layers = [_layer(case) for case in cases]
    spec = tf.TensorSpec([None, *cases[0].images().shape[1:]], name="images")
    return tf.function(
        lambda images: [layer(images) for layer in layers], input_signature=[spec], autograph=False
    ).get_concrete_function()


@functools.cache
def _file(cases: tuple[Case, ...], form: str) -> onnx.ModelProto:
    options = OnnxOptions(sampler=form)
    return convert(_function(cases), ["images"], [str(case) for case in cases], options)


@functools.cache
def _answers(cases: tuple[Case, ...], form: str, ours: bool, count: int) -> dict[str, np.ndarray]:
    run = onnx_runtime(_file(cases, form).SerializeToString(), ours=ours)
    return run({"images": cases[0].images()[:count]})


def _in_one_file(case: Case) -> tuple[Case, ...]:
    """All cases of its group and its transform that have the same forms."""
    refused = case in REFUSED
    return tuple(
        other
        for other in group(case)
        if other.transform == case.transform and (other in REFUSED) == refused
    )


@pytest.mark.parametrize(
    ("case", "form"),
    [
        pytest.param(case, form, marks=[] if case in PAIRS else [pytest.mark.full])
        for case, form in EXPORTED
    ],
    ids=str,
)
def test_onnx(case: Case, form: str) -> None:
    cases = _in_one_file(case)
    # Runtimes order the arithmetic in their own ways, and a projective grid magnifies the rounding.
    atol = 1e-4 if case.transform == "projective" else 2e-5
    assert _samplers_behind(_file(cases, form).graph, str(case)) == [_operation(case, form)]
    for count in (1, 3):
        expected = _layer(case)(case.images()[:count])
        for ours in (True,) if form == "custom" else (False, True):
            found = _answers(cases, form, ours, count)[str(case)]
            np.testing.assert_allclose(found, expected, atol=atol)


@pytest.mark.parametrize(
    ("case", "form"),
    parameters([(case, form) for form in ("dual", "standard") for case in REFUSED], _choices),
    ids=str,
)
def test_what_is_refused(case: Case, form: str) -> None:
    with pytest.raises(ExportError, match=f"`sampler` must not be {form} .* Use sampler custom"):
        convert(_function((case,)), ["images"], ["crops"], OnnxOptions(sampler=form))


def _operation(case: Case, form: str) -> str:
    if form == "standard" or (case.transform, case.dimensions) == ("tps", 2):
        return "GridSample"
    if case.dimensions == 3:
        return "GridSample3D"
    if (case.kernel, case.padding) == ("bicubic", "border"):
        return "GridSample"  # Its points are moved before the node.
    return "ProjectiveGridSample" if case.transform == "projective" else "AffineGridSample"


def _samplers_behind(graph: onnx.GraphProto, output: str) -> list[str]:
    """The operations of the samplers on the way to an output."""
    made = {name: node for node in graph.node for name in node.output}
    found, seen, waiting = [], set(), [output]
    while waiting:
        name = waiting.pop()
        if name in made and name not in seen:
            seen.add(name)
            node = made[name]
            waiting.extend(node.input)
            if is_sampler(node):
                found.append(node.op_type)
    return found
