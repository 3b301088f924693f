"""The settings of training on anybody's images. This module does not import TensorFlow."""

from typing import Annotated, Any, Literal

from pydantic import Field

from stn_tf.interface import Task
from stn_tf.recipe import ExperimentConfig, Size


class ImagesConfig(ExperimentConfig):
    """What is learned, what learns, and how; what is left open is decided and said.

    Attributes:
        recipe: Which room reads the settings.
        name: Of the experiment.
        data: How `data_dir` is read: `auto`, `folder`, `cub`, `table`, `tfrecord`; or
            `package.module:function`, a function of yours that returns the data.
        data_dir: A folder, or a table of paths and labels.
        validation_share: Of each class, what is set aside to choose by where the data names no
            such part.
        test_share: Likewise, to report on.
        image_size: Height and width in pixels that the model takes; a number stands for a square.
        channels: 3 (colour) or 1 (grey).
        resize: How images are fitted into that size: `letterbox`, `squash` or `center_crop`; `auto`
            cuts where that leaves most of the typical image and no transformer searches it, and
            stretches elsewhere.
        crop_pct: Of `center_crop`: which share of the side is kept.
        model: `classifier`, a network of `stn_tf.models`; or `package.module:function`, a function
            of yours that returns a Keras model.
        value_range: What black and white are for a model of yours.
        task: What a model of yours does, where your data names no classes.
        backbone: One of `stn_tf.models.BACKBONES`, or `auto`.
        weights: `auto`, `imagenet`, `none` or a file.
        transformers: How many transformers look at the image; 0 for none; `auto` for one before a
            pre-trained backbone.
        transformation: What they may do: `affine`, `similarity` or `attention`.
        crop_size: Height and width of what they see.
        crop_scale: A fixed scale of attention; None where it is learned.
        share_backbone: Whether all crops go through one backbone.
        whole_image: Whether the features of the whole image stand beside those of the crops.
        localisation: `small`, `backbone`, `salient` or `auto`.
        dropout: Of the features, before the classes.
        batch_norm: Whether the statistics of a pre-trained backbone are `frozen`, or `train`.
        label_smoothing: How much of a label is spread over all classes.
        augment: A preset of `stn_tf.data.augmentation`, or changes to `standard`.
        balance: Against unequal classes: `none`, `weights` of the loss, or `sampling`.
        class_weights: Weights of the loss by class, instead of `balance`.
        batch_size: Of all replicas together; 0 for what suits the number of images.
        monitor: As for `fit`; few images to choose by make the loss a better judge than the error.
        epochs: How often each image is seen; None for what suits their number.
        steps: Instead of epochs; 0 for these.
        on_unreadable: What a training image that cannot be decoded leads to: `stop`, or `skip`,
            which takes another of its class.
        cache: Where decoded images are kept: `auto`, `memory`, `disk` or `none`.
        cache_dir: Of `disk`.
    """

    recipe: Literal["images"] = "images"
    name: str = "images"
    data: str = "auto"
    data_dir: str | None = None
    validation_share: float = Field(0.1, gt=0, lt=1)
    test_share: float = Field(0.2, gt=0, lt=1)
    image_size: Size | None = None
    channels: Literal[1, 3] | None = None
    resize: Literal["auto", "letterbox", "squash", "center_crop"] = "auto"
    crop_pct: float = Field(1.0, gt=0, le=1)
    model: str = "classifier"
    value_range: tuple[float, float] = (0.0, 1.0)
    task: Task | None = None
    backbone: str = "auto"
    weights: str = "auto"
    transformers: Annotated[int, Field(ge=0, le=16)] | Literal["auto"] = "auto"
    transformation: Literal["affine", "similarity", "attention"] = "affine"
    crop_size: Size | None = None
    crop_scale: float | None = Field(None, gt=0, le=1)
    share_backbone: bool = True
    whole_image: bool = True
    localisation: Literal["auto", "small", "backbone", "salient"] = "auto"
    dropout: float = Field(0.2, ge=0, lt=1)
    batch_norm: Literal["frozen", "train"] = "frozen"
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    augment: str | dict[str, Any] = "standard"
    balance: Literal["none", "weights", "sampling"] = "none"
    class_weights: dict[str, float] = Field(default_factory=dict)
    batch_size: int = Field(0, ge=0)
    monitor: str = "loss"
    epochs: float | None = Field(None, gt=0)
    steps: int = Field(0, ge=0)
    evaluate_every: int = Field(0, ge=0)
    warmup_steps: int = Field(-1, ge=-1)
    on_unreadable: Literal["stop", "skip"] = "stop"
    cache: Literal["auto", "memory", "disk", "none"] = "auto"
    cache_dir: str | None = None
