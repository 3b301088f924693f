"""How training images are varied: the settings, and what they ask for.

`augmentation_drawing` draws, `augmentation_geometry` and `augmentation_colour` apply. This module
does not import TensorFlow.
"""

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stn_tf.errors import ConfigError

if TYPE_CHECKING:
    import tensorflow as tf

    from stn_tf.data.mixing import Mixing

# Ranges whose two ends are in order.
_RANGES = ("scale", "crop", "crop_aspect", "erase_area")
# Of the distance between control points: the deviation of their moves.
_MOST_BENT = 0.2
_OVERSAMPLE = 1.15
# What moves pixels, and where it does not. Mirroring leaves them whole.
_UNMOVED = {
    "rotate": 0,
    "scale": (1, 1),
    "shear": 0,
    "translate": 0,
    "perspective": 0,
    "elastic": 0,
    "crop": (1, 1),
}

PRESETS: dict[str, dict[str, Any]] = {
    "none": {},
    "light": {
        "flip": "horizontal",
        "rotate": 5.0,
        "crop": (0.8, 1.0),
        "brightness": 0.1,
        "contrast": 0.1,
    },
    "standard": {
        "flip": "horizontal",
        "rotate": 10.0,
        "crop": (0.6, 1.0),
        "brightness": 0.15,
        "contrast": 0.2,
        "saturation": 0.2,
    },
    "strong": {
        "flip": "horizontal",
        "rotate": 20.0,
        "shear": 8.0,
        "crop": (0.35, 1.0),
        "perspective": 0.05,
        "elastic": 0.01,
        "brightness": 0.25,
        "contrast": 0.35,
        "saturation": 0.4,
        "hue": 0.03,
        "grayscale": 0.05,
        "erase": 0.25,
        "mixup": 0.2,
        "cutmix": 1.0,
        "mix_probability": 0.5,
    },
    "any-angle": {
        "flip": "horizontal",
        "rotate": 180.0,
        "crop": (0.6, 1.0),
        "brightness": 0.15,
        "contrast": 0.2,
        "saturation": 0.2,
    },
}
"""The settings that each preset changes.

    none        the images as they are
    light       for few steps, or images that are all taken alike
    standard    for photographs
    strong      for long training on few images; mixes them too
    any-angle   for what has no upright: from above, under a microscope

`none` and grey-level images, text and digits: no preset turns anything upside down but `any-angle`,
and all but `none` mirror; `summary` says so.
"""


class Augmentation(BaseModel):
    """What is drawn for each image; everything is off unless it is set.

    All that moves pixels is one map from the output to the stored image, so that they are read
    once; all that changes colours is one map of colours. Drawn from a uniform distribution where
    nothing else is said, about the image as it is.

    Attributes:
        flip: Mirrors half of the images: `horizontal` swaps left and right, `vertical` top and
            bottom, `both` each by a chance of its own.
        rotate: To either side, in degrees.
        scale: How large things are drawn, smallest and largest (uniform in the logarithm); below 1
            there is `fill` around the image.
        shear: Along both axes, to either side, in degrees.
        translate: To either side, in shares of the image's sides.
        perspective: How far the view's corners move along either axis, in shares of its sides.
        elastic: The deviation of the moves of a thin plate spline's control points (normal), in
            shares of the view's sides; at most a fifth of the distance between them.
        elastic_points: How many by how many control points.
        crop: The least and greatest share of the image's area that is shown, anywhere in it.
        crop_aspect: The least and greatest aspect of that part against the image's own (uniform in
            the logarithm).
        fill: What is read outside of the image: its `reflection`, its `border`, or `zeros`.
        brightness: Is added, to either side; 1 is from black to white.
        contrast: Factor about the image's mean colour, 1 to either side.
        saturation: Factor about grey, 1 to either side.
        hue: To either side; 1 is once around.
        grayscale: The probability of grey.
        erase: The probability of a rectangle in one grey.
        erase_area: The least and greatest share of the image's area that it takes.
        mixup: Alpha of the beta distribution of the shares in which two images are blended, with
            their labels; 0 for never.
        cutmix: The same for the share of an image that a rectangle of another covers. With both,
            one of the two by chance.
        mix_probability: Of a pair of images being mixed.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True
    )

    flip: Literal["none", "horizontal", "vertical", "both"] = "none"
    rotate: float = Field(0.0, ge=0, le=180)
    scale: tuple[float, float] = (1.0, 1.0)
    shear: float = Field(0.0, ge=0, le=40)
    translate: float = Field(0.0, ge=0, le=1)
    perspective: float = Field(0.0, ge=0, le=0.2)
    elastic: float = Field(0.0, ge=0)
    elastic_points: int = Field(4, ge=2, le=8)
    crop: tuple[float, float] = (1.0, 1.0)
    crop_aspect: tuple[float, float] = (3 / 4, 4 / 3)
    fill: Literal["reflection", "border", "zeros"] = "reflection"
    brightness: float = Field(0.0, ge=0, le=1)
    contrast: float = Field(0.0, ge=0, le=1)
    saturation: float = Field(0.0, ge=0, le=1)
    hue: float = Field(0.0, ge=0, le=0.5)
    grayscale: float = Field(0.0, ge=0, le=1)
    erase: float = Field(0.0, ge=0, le=1)
    erase_area: tuple[float, float] = (0.02, 0.2)
    mixup: float = Field(0.0, ge=0, le=10)
    cutmix: float = Field(0.0, ge=0, le=10)
    mix_probability: float = Field(1.0, ge=0, le=1)

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        for name in _RANGES:
            low, high = getattr(self, name)
            most = 1.0 if name in ("crop", "erase_area") else 10.0
            if not 0 < low <= high <= most:
                raise ValueError(
                    f"`augment.{name}` must be (low, high) with 0 < low <= high <= {most:g}, "
                    f"but it is {[low, high]}."
                )
        most = _MOST_BENT / (self.elastic_points - 1)
        if self.elastic > most:
            raise ValueError(
                f"`augment.elastic` must be at most {most:.3g} for {self.elastic_points} control "
                f"points a side, where images begin to fold, but it is {self.elastic:g}. Lower it, "
                "or lower `augment.elastic_points`."
            )
        return self

    @classmethod
    def of(cls, value: "str | Mapping[str, Any] | Augmentation") -> "Augmentation":
        """Returns the settings that a preset's name, or a mapping of changes, stands for.

        Args:
            value: `none`, `light`, `standard`, `strong` or `any-angle`; or settings that differ
                from `standard`, or from the preset that their `base` names.

        Raises:
            ConfigError: If a name is unknown or a value cannot be.
        """
        if isinstance(value, Augmentation):
            return value
        if isinstance(value, str):
            value = {"base": value}
        if not isinstance(value, Mapping):
            raise ConfigError(
                f"`augment` must be one of {', '.join(PRESETS)}, or a mapping of settings such as "
                f"{{rotate=20}}, but it is {value!r}."
            )
        changes = dict(value)
        base = changes.pop("base", "standard")
        if base not in PRESETS:
            raise ConfigError(
                f"`augment` must be one of {', '.join(PRESETS)}, or a mapping of settings with "
                f"one of them as `base`, but it is {base!r}."
            )
        for key in changes:
            if key not in cls.model_fields:
                near = difflib.get_close_matches(str(key), cls.model_fields, n=1, cutoff=0.5)
                known = ", ".join(["base", *cls.model_fields])
                cure = f"Did you mean `{near[0]}`?" if near else f"There are: {known}."
                raise ConfigError(f"`augment.{key}` is not a setting. {cure}")
        settings = PRESETS[base] | {
            k: tuple(v) if isinstance(v, list) else v for k, v in changes.items()
        }
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            raise ConfigError(_explain(error)) from None

    @property
    def oversample(self) -> float:
        """How much larger than the output the stored images should be a side.

        Where images are moved, so that what is zoomed in stays sharp. Otherwise 1, so that pixels
        are those of the image.
        """
        return _OVERSAMPLE if any(getattr(self, n) != v for n, v in _UNMOVED.items()) else 1.0

    def draw(self, key: "tf.Tensor", count: int) -> "dict[str, tf.Tensor]":
        """Draws what happens to each of `count` images; the same for the same key.

        Args:
            key: int64 `[2]`; see `stn_tf.data.keys`.
            count: How many images.

        Returns:
            Tensors by name, each `[count, ...]`, of what is set alone: of `none` no tensor.
        """
        from stn_tf.data import augmentation_drawing

        return augmentation_drawing.draw(self, key, count)

    def apply(
        self, images: "tf.Tensor", parameters: "dict[str, tf.Tensor]", size: tuple[int, int]
    ) -> "tf.Tensor":
        """Returns the images as they were drawn, on the CPU.

        Without parameters the whole image fills the output: where sizes are equal, bit for bit.

        Args:
            images: uint8 `[n, h, w, c]`; larger than `size`, so that crops are sharp.
            parameters: As `draw` gave them, for these images.
            size: Height and width of the output.

        Returns:
            float32 `[n, *size, c]` in 0..1.
        """
        import tensorflow as tf

        from stn_tf.data import augmentation_colour, augmentation_geometry

        # Where there is a GPU, `tf.data` still computes on the CPU: the sampler must know.
        with tf.device("CPU:0"):
            seen = augmentation_geometry.apply(self, images, parameters, size)
            return augmentation_colour.apply(images, seen, parameters)

    def mixing(self) -> "Mixing | None":
        """Returns what mixes the images of a batch; None where `mixup` and `cutmix` are off."""
        if not (self.mixup or self.cutmix) or not self.mix_probability:
            return None
        from stn_tf.data.mixing import Mixing

        return Mixing(self.mixup, self.cutmix, self.mix_probability)

    def summary(self) -> str:
        """Returns one line of what is done, with the setting that stops what may be unwanted."""
        parts = [text for text in map(self._describe, type(self).model_fields) if text]
        if not parts:
            return "augmentation: none (augment=standard varies the images)"
        return "augmentation: " + ", ".join(parts)

    def _describe(self, name: str) -> str:
        value = getattr(self, name)
        match name:
            case "flip" if value != "none":
                return (
                    f"flip {value} (where that changes a class, as for text: "
                    'augment={flip="none"})'
                )
            case "rotate" | "shear" if value:
                return f"{name} ±{value:g}°"
            case "scale" if value != (1, 1):
                return f"scale {value[0]:g}..{value[1]:g}"
            case "crop" if value != (1, 1):
                return f"crop {value[0]:.0%}..{value[1]:.0%} of the area"
            case "translate" | "perspective" | "elastic" | "brightness" | "contrast" if value:
                return f"{name} ±{value:g}"
            case "saturation" | "hue" if value:
                return f"{name} ±{value:g}"
            case "grayscale" | "erase" if value:
                return f"{name} {value:.0%} of the images"
            case "mixup" | "cutmix" if value and self.mix_probability:
                return f"{name} {value:g} of {self.mix_probability:.0%} of the pairs"
        return ""


def _explain(error: ValidationError) -> str:
    lines: dict[str, str] = {}
    for detail in error.errors():
        key = str(detail["loc"][0]) if detail["loc"] else ""
        if not key:
            lines[key] = detail["msg"].removeprefix("Value error, ")
        elif key not in lines:  # One error for each element of a pair.
            rule = detail["msg"].replace("Input should", "must", 1)
            if key in _RANGES:
                rule = "must be two numbers, low and high, such as [0.6, 1.0]"
            lines[key] = f"`augment.{key}` {rule}, but it is {detail['input']!r}."
    return " ".join(lines.values())
