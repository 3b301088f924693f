"""What is refused for a target, with the reason; what the rest gets."""

import re

import pytest

from stn_tf.errors import ExportError
from stn_tf.export import ExportOptions, OnnxOptions
from stn_tf.export.sampler_nodes import Semantics

PLAIN = [Semantics("bilinear", "zeros", False)]


@pytest.mark.parametrize(
    ("target", "form"),
    [
        ("any", "dual"),
        ("ort-cpu", "dual"),
        ("ort-cuda", "standard"),
        ("tensorrt", "standard"),
        ("openvino", "standard"),
        ("coreml", "standard"),
    ],
)
def test_every_target_has_a_form_and_an_opset(target: str, form: str) -> None:
    options = OnnxOptions(target=target)
    assert options.form == form
    # TensorRT imports the samplers of opset 20 as nearest-neighbour.
    assert options.resolve(PLAIN, volumes=False) == 18


def test_volumes_need_opset_20() -> None:
    assert OnnxOptions().resolve(PLAIN, volumes=True) == 20
    assert OnnxOptions(target="ort-cuda", opset=22).resolve(PLAIN, volumes=True) == 22


@pytest.mark.parametrize(
    ("options", "semantics", "volumes", "message"),
    [
        (
            {"target": "tensorrt", "opset": 20},
            PLAIN,
            False,
            "`opset` must be at most 19 .* nearest",
        ),
        ({"target": "tensorrt"}, PLAIN, True, "`opset` must be at most 19"),
        ({"target": "openvino"}, PLAIN, True, "`target` must not be openvino .* volumes"),
        ({"target": "coreml"}, [Semantics("nearest", "zeros", True)], False, "kernel nearest"),
        (
            {"target": "coreml"},
            [Semantics("bilinear", "reflection", False)],
            False,
            "padding reflection and align_corners=False",
        ),
        ({"target": "tensorrt", "sampler": "custom"}, PLAIN, False, "must not be custom"),
        ({"target": "ort-cuda", "sampler": "custom"}, PLAIN, False, "must not be custom"),
        ({"target": "openvino", "sampler": "dual"}, PLAIN, False, "must be standard"),
        ({"opset": 18}, PLAIN, True, "`opset` must be at least 20"),
    ],
)
def test_what_a_target_would_get_wrong_is_refused(
    options: dict, semantics: list, volumes: bool, message: str
) -> None:
    with pytest.raises(ExportError, match=message) as error:
        OnnxOptions(**options).resolve(semantics, volumes=volumes)
    assert "\n" not in str(error.value)


def test_a_network_without_samplers_may_have_any_opset() -> None:
    assert OnnxOptions(target="tensorrt", opset=21).resolve([], volumes=False) == 21


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "ort"}, "`target` must be one of any, .*'ort'"),
        ({"sampler": "both"}, "`sampler` must be one of dual, standard, custom, .*'both'"),
        ({"opset": 15}, "`opset` must be in 16..22, but it is 15"),
        ({"opset": 23}, "`opset` must be in 16..22, but it is 23"),
    ],
)
def test_choices(options: dict, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        OnnxOptions(**options)
    with pytest.raises(ExportError, match=re.escape("`precision` must be one of")):
        ExportOptions(precision="bfloat16")  # type: ignore[arg-type]
