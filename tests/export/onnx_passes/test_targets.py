"""What is refused for a target, with the reason; what the rest gets."""

import re

import pytest

from stn_tf.errors import ExportError
from stn_tf.export import ExportOptions, OnnxOptions
from stn_tf.export.sampler_spec import SamplerSpec


def _sampled(
    kernel: str = "bilinear", padding: str = "zeros", aligned: bool = False, dimensions: int = 2
) -> list[SamplerSpec]:
    return [SamplerSpec(kernel, padding, aligned, "grid", dimensions)]


PLAIN, VOLUMES = _sampled(), _sampled(dimensions=3)
BICUBIC_VOLUMES = _sampled("bicubic", dimensions=3)


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
    assert options.resolve(PLAIN) == 18


def test_volumes_need_opset_20() -> None:
    assert OnnxOptions().resolve(VOLUMES) == 20
    assert OnnxOptions(target="ort-cuda", opset=22).resolve(VOLUMES) == 22


@pytest.mark.parametrize(
    ("options", "samplings", "message"),
    [
        ({"target": "tensorrt", "opset": 20}, PLAIN, "`opset` must be at most 19 .* nearest"),
        ({"target": "tensorrt"}, VOLUMES, "`opset` must be at most 19"),
        ({"target": "openvino"}, VOLUMES, "`target` must not be openvino .* volumes"),
        ({"target": "coreml"}, _sampled("nearest", aligned=True), "kernel nearest"),
        (
            {"target": "coreml"},
            _sampled(padding="reflection"),
            "padding reflection and align_corners=False",
        ),
        ({"target": "tensorrt", "sampler": "custom"}, PLAIN, "must not be custom"),
        ({"target": "ort-cuda", "sampler": "custom"}, PLAIN, "must not be custom"),
        ({"target": "openvino", "sampler": "dual"}, PLAIN, "must be standard"),
        ({"opset": 18}, VOLUMES, "`opset` must be at least 20"),
        (
            {},
            BICUBIC_VOLUMES,
            "`sampler` must not be dual .* Use sampler custom and our library, or kernel bilinear",
        ),
        ({"sampler": "standard"}, BICUBIC_VOLUMES, "`sampler` must not be standard .* volumes"),
        ({"target": "ort-cuda"}, BICUBIC_VOLUMES, "must not be standard .* Use kernel bilinear"),
    ],
)
def test_what_a_target_would_get_wrong_is_refused(
    options: dict, samplings: list, message: str
) -> None:
    with pytest.raises(ExportError, match=message) as error:
        OnnxOptions(**options).resolve(samplings)
    assert "\n" not in str(error.value)


def test_our_library_alone_computes_bicubic_volumes() -> None:
    assert OnnxOptions(sampler="custom").resolve(BICUBIC_VOLUMES) == 20
    assert OnnxOptions().resolve([*VOLUMES, *_sampled("bicubic")]) == 20


def test_a_network_without_samplers_may_have_any_opset() -> None:
    assert OnnxOptions(target="tensorrt", opset=21).resolve([]) == 21


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
