"""The settings of the paper's experiments. This module does not import TensorFlow."""

from typing import Annotated, Literal

from pydantic import Field

from stn_tf.recipe import ExperimentConfig

Size = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]


class PaperConfig(ExperimentConfig):
    """What is learned, what learns, and how.

    Attributes:
        recipe: Which room reads the settings.
        name: Of the experiment.
        source: Where images come from: `digits`, `mnist` or `folder`.
        data_dir: Of `mnist` and `folder`.
        image_size: Height and width of the images of a folder, in pixels.
        channels: Of the images of a folder.
        distortion: One of `stn_tf.paper.DISTORTIONS`.
        model: One of `stn_tf.paper.NETWORKS`.
        crop_size: Height and width that a transformer samples; None for those of the canvas.
        pool_crops: Whether to average-pool by 2 after the transformer.
        schedule: A bundle of the settings of `fit`; keys set beside it win.
        batch_size: Of all replicas together.
        choose: The paper has no early choice: the `last` weights are the result.
    """

    recipe: Literal["paper"] = "paper"
    name: str = "experiment"
    source: Literal["digits", "mnist", "folder"] = "digits"
    data_dir: str | None = None
    image_size: Size | None = None
    channels: Literal[1, 3] | None = None
    distortion: Literal["none", "r", "rts", "p", "e", "tc"] = "none"
    model: str = "st-cnn-affine"
    crop_size: Size | None = None
    pool_crops: bool = False
    schedule: Literal["short", "long", "paper"] = "short"
    batch_size: int = Field(256, ge=1)
    choose: Literal["best", "last"] = "last"
