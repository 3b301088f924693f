"""The settings of the paper's experiments. This module does not import TensorFlow."""

from typing import Literal

from pydantic import Field

from stn_tf.recipe import ExperimentConfig, Size

Distortion = Literal["none", "r", "rts", "p", "e", "tc"]

_TRANSFORMS = ("affine", "projective", "tps")
NETWORKS = ("fcn", "cnn", *(f"st-{kind}-{name}" for kind in ("fcn", "cnn") for name in _TRANSFORMS))
ADDITION_NETWORKS = (
    "fcn",
    "cnn",
    *(f"{count}st-fcn-{name}" for count in ("", "2x") for name in _TRANSFORMS),
)
COLOCALISATION_NETWORKS = ("st-attention",)
VOLUME_NETWORKS = ("cnn-flattened", "cnn-3d", "st-3d")


class DigitsConfig(ExperimentConfig):
    """What the paper's experiments on digits have in common.

    Attributes:
        source: Where images come from: `digits` or `mnist`.
        data_dir: Of `mnist`.
        schedule: A bundle of the settings of `fit`; keys set beside it win.
        batch_size: Of all replicas together.
        choose: The paper has no early choice: the `last` weights are the result.
    """

    source: Literal["digits", "mnist"] = "digits"
    schedule: Literal["short", "long", "paper"] = "short"
    batch_size: int = Field(256, ge=1)
    choose: Literal["best", "last"] = "last"


class PaperConfig(DigitsConfig):
    """Distorted digits (appendix A.4): what is learned, what learns, and how.

    Attributes:
        recipe: Which room reads the settings.
        source: `digits`, `mnist`, or `folder` for your own images.
        data_dir: Of `mnist` and `folder`.
        image_size: Height and width of the images of a folder, in pixels.
        channels: Of the images of a folder.
        distortion: One of `stn_tf.paper.DISTORTIONS`.
        model: One of `stn_tf.paper.NETWORKS`.
        crop_size: Height and width that a transformer samples; None for those of the canvas.
        pool_crops: Whether to average-pool by 2 after the transformer.
        antialias: Samples an axis that a transformer averages where it shrinks; 1 for none.
        feed_theta: Whether the last layer of the classifier sees theta too.
        theta_loss: The factor of a loss on theta, component by component, against the
            transformation that undoes the distortion; for affine networks, where the distortion
            has one: r, rts and tc.
        outside_penalty: The factor of a loss on grids that leave the image.
    """

    recipe: Literal["paper"] = "paper"
    source: Literal["digits", "mnist", "folder"] = "digits"  # type: ignore[assignment]
    image_size: Size | None = None
    channels: Literal[1, 3] | None = None
    distortion: Distortion = "none"
    model: str = "st-cnn-affine"
    crop_size: Size | None = None
    pool_crops: bool = False
    antialias: int = Field(1, ge=1)
    feed_theta: bool = False
    theta_loss: float = Field(0.0, ge=0)
    outside_penalty: float = Field(0.0, ge=0)


class AdditionConfig(DigitsConfig):
    """The sum of two digits (appendix A.1).

    Attributes:
        recipe: Which room reads the settings.
        distortion: Of each digit by itself.
        model: One of `ADDITION_NETWORKS`.
        crop_size: Height and width that a transformer samples of both channels.
        curriculum: Over which share of the steps the distortion grows from none to all of it, which
            the paper does not do; 0 for all of it from the first step.
    """

    recipe: Literal["addition"] = "addition"
    distortion: Distortion = "rts"
    model: str = "2xst-fcn-affine"
    crop_size: Size | None = (28, 28)
    curriculum: float = Field(0.0, ge=0, le=1)


class VolumesConfig(DigitsConfig):
    """An extruded digit somewhere in a volume (appendix A.3).

    Attributes:
        recipe: Which room reads the settings.
        side: Of the volume, in voxels; a voxel has the size of a pixel.
        thickness: Of the slab that a digit becomes, in voxels.
        degrees: By how much each is turned in its plane and tilted about the other two axes, at
            most, to either side. The paper does not say that it turns them.
        model: One of `VOLUME_NETWORKS`.
        crop_side: Of the cube that a transformer samples, in voxels.
    """

    recipe: Literal["volumes"] = "volumes"
    schedule: Literal["short", "long"] = "short"
    batch_size: int = Field(32, ge=1)
    side: int = Field(60, ge=1)
    thickness: int = Field(16, ge=1)
    degrees: float = Field(45.0, ge=0, le=180)
    model: str = "st-3d"
    crop_side: int = Field(28, ge=21)


class ColocalisationConfig(DigitsConfig):
    """One kind of digit somewhere in each image, found without being told where (appendix A.2).

    Attributes:
        recipe: Which room reads the settings.
        digit: Which one.
        images: How many images of it: they are learned from, and measured.
        side: Of the images, in pixels.
        distractors: How many pieces of 6x6 pixels of other digits lie about.
        model: One of `COLOCALISATION_NETWORKS`.
        encoder_steps: How long the network learns that the loss compares with.
        least_scale: Of the window, as a share of the image; None for that of a digit, so that
            windows never magnify.
        largest_scale: Of the window.
        outside_penalty: The factor of a loss on windows that leave the image.
    """

    recipe: Literal["colocalisation"] = "colocalisation"
    schedule: Literal["short", "long"] = "short"
    batch_size: int = Field(100, ge=2)
    digit: int = Field(3, ge=0, le=9)
    images: int = Field(100, ge=2)
    side: int = Field(84, ge=37)
    distractors: int = Field(0, ge=0)
    model: str = "st-attention"
    encoder_steps: int = Field(600, ge=1)
    least_scale: float | None = Field(None, gt=0, le=1)
    largest_scale: float = Field(0.85, gt=0, le=1)
    outside_penalty: float = Field(1.0, ge=0)
