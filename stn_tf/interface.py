"""What a model takes and gives: the one description that every part of stn-tf reads.

Training and export write it; the manifest, ONNX metadata, the proof, `predict`, `plot`, the server
and its playground read it and decide nothing themselves. This module does not import TensorFlow.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict

from stn_tf.errors import InputError, ModelError

Task = Literal["classification", "binary", "multilabel", "regression", "embedding", "dense", "none"]
TASKS: tuple[str, ...] = get_args(Task)
Resize = Literal["letterbox", "squash", "center_crop"]
RESIZES: tuple[str, ...] = get_args(Resize)
Meaning = Literal["raw", "logits", "probabilities", "class", "theta", "corners", "crops"]

# A label of several is given from this probability on, and the second of two classes.
THRESHOLD = 0.5
_CHANNELS = {"grayscale": 1, "rgb": 3, "bgr": 3}


class _Frozen(BaseModel):
    # A later version may add fields; this one still reads what it knows.
    model_config = ConfigDict(frozen=True, extra="ignore")


class InputSpec(_Frozen):
    """One input of a model, and how an image file becomes it.

    An image is decoded, turned as its EXIF orientation says, brought to size, and each pixel of
    0..255 becomes

        x = (low + pixel / 255 * (high - low) - mean) / std

    with `(low, high)` being `value_range`, and mean and std in the units of that range. None means
    unknown: it is refused where it is needed, and never filled in.

    Attributes:
        name: What signatures and files call it.
        dtype: NumPy's name of its type, or `string`.
        shape: Batch first; None where any size will do.
        layout: `NHWC` or `NCHW` for images (`NDHWC`, `NCDHW` for volumes); None for what is no
            image.
        color_space: `grayscale`, `rgb` or `bgr`; None for other numbers of channels.
        value_range: What black and white are, before mean and std.
        mean: Subtracted, one number or one a channel.
        std: Divided by, one number or one a channel.
        resize: `letterbox` fits the whole image and pads, `squash` stretches it, `center_crop`
            fills the size and cuts off what hangs over.
        crop_pct: Of `center_crop`: which share of the side is kept.
        pad_value: Of `letterbox`: the pixel around the image, 0..255.
        interpolation: `bicubic`, `bilinear`, `lanczos` or `nearest`.
        antialias: Whether the filter widens with the scale where an image shrinks.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    layout: Literal["NHWC", "NCHW", "NDHWC", "NCDHW"] | None = None
    color_space: Literal["grayscale", "rgb", "bgr"] | None = None
    value_range: tuple[float, float] | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    resize: Resize = "letterbox"
    crop_pct: float = 1.0
    pad_value: float = 0.0
    interpolation: Literal["bicubic", "bilinear", "lanczos", "nearest"] = "bicubic"
    antialias: bool = True

    @property
    def is_image(self) -> bool:
        """Whether it is a batch of two-dimensional images."""
        return self.layout in ("NHWC", "NCHW")

    @property
    def is_volume(self) -> bool:
        """Whether it is a batch of three-dimensional volumes."""
        return self.layout in ("NDHWC", "NCDHW")

    @property
    def size(self) -> tuple[int | None, int | None]:
        """Height and width of an image."""
        height, width = self.shape[1:3] if self.layout == "NHWC" else self.shape[2:4]
        return height, width

    @property
    def channels(self) -> int | None:
        """Channels of an image."""
        return self.shape[-1] if self.layout in ("NHWC", "NDHWC") else self.shape[1]

    @property
    def decodable(self) -> bool:
        """Whether image files can become this input: its colours and range are known."""
        return (
            self.is_image
            and self.value_range is not None
            and self.color_space is not None
            and _CHANNELS[self.color_space] == self.channels
        )

    def require_decodable(self) -> None:
        """Raises ModelError, with the cure, if image files cannot become this input."""
        if not self.is_image:
            raise ModelError(
                f"The input `{self.name}` is no batch of images: it has shape "
                f"{words(self.shape)} and type {self.dtype}. Send it numbers over gRPC or REST."
            )
        if self.color_space is None or _CHANNELS[self.color_space] != self.channels:
            raise ModelError(
                f"The input `{self.name}` has {self.channels} channels, which no image file has. "
                "Send it arrays."
            )
        if self.value_range is None:
            raise ModelError(
                f"The range of the input `{self.name}` is unknown: nobody said what black and "
                "white are. Export the model again with --input-range, such as "
                "`--input-range 0 1` or `--input-range 0 255`."
            )

    def from_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Returns `[..., H, W, C]` pixels of 0..255, any type, as the model takes them."""
        self.require_decodable()
        assert self.value_range is not None
        low, high = self.value_range
        values = pixels[..., ::-1] if self.color_space == "bgr" else pixels
        plain = self.mean == (0.0,) and self.std == (1.0,)
        if not (plain and self.value_range == (0.0, 255.0)):
            values = values.astype(np.float32)
            if plain and self.value_range == (0.0, 1.0):
                values = values / np.float32(255)
            else:
                unit = values / np.float32(255)
                values = (
                    np.float32(low) + unit * np.float32(high - low) - np.asarray(self.mean, "f4")
                ) / np.asarray(self.std, "f4")
        kind = numpy_dtype(self.dtype)
        if kind.kind in "iu" and values.dtype.kind == "f":
            values = np.rint(values)
        values = values.astype(kind)
        return np.ascontiguousarray(self._in_layout(values))

    def to_pixels(self, values: np.ndarray) -> np.ndarray:
        """Undoes `from_pixels`: `[..., H, W, C]` float32 in 0..255, not clipped."""
        self.require_decodable()
        assert self.value_range is not None
        low, high = self.value_range
        values = np.asarray(values).astype(np.float32)
        if self.layout == "NCHW":
            values = np.moveaxis(values, -3, -1)
        values = values * np.asarray(self.std, "f4") + np.asarray(self.mean, "f4")
        pixels = (values - np.float32(low)) * np.float32(255.0 / (high - low))
        return pixels[..., ::-1] if self.color_space == "bgr" else pixels

    @property
    def limits(self) -> tuple[float, float] | None:
        """The least and greatest value that an image has; None where the range is unknown."""
        if self.value_range is None:
            return None
        ends = [
            (end - mean) / std
            for end in self.value_range
            for mean, std in zip(*_paired(self.mean, self.std), strict=True)
        ]
        return min(ends), max(ends)

    def check_range(self, values: np.ndarray, what: str = "") -> None:
        """Raises InputError if values lie outside of the range, as far as it is known.

        Rounding, and the overshoot of filters and of normalising, are forgiven: 1 percent of the
        range.
        """
        limits = self.limits
        if limits is None or not values.size or values.dtype.kind not in "fiu":
            return
        least, greatest = float(np.min(values)), float(np.max(values))
        slack = 0.01 * (limits[1] - limits[0])
        if not (least >= limits[0] - slack and greatest <= limits[1] + slack):  # NaN fails too.
            seen = (
                "include NaN"
                if math.isnan(least) or math.isnan(greatest)
                else f"go from {least:g} to {greatest:g}"
            )
            raise InputError(
                f"{what or f'`{self.name}`'} must hold values in {limits[0]:g}..{limits[1]:g}, "
                f"the model's range, but they {seen}. Scale them, or export the model with "
                "another --input-range."
            )

    def _in_layout(self, values: np.ndarray) -> np.ndarray:
        return np.moveaxis(values, -1, -3) if self.layout == "NCHW" else values


class OutputSpec(_Frozen):
    """One output of a model.

    Attributes:
        name: What signatures and files call it.
        dtype: NumPy's name of its type.
        shape: Batch first where there is one; None where the size is not known.
        meaning: `raw`, the model's own; `logits`, `probabilities` or `class`, which may be its
            own too; `theta`, `corners` (pixels of what the transformer reads) and `crops` of a
            transformer.
        derived: Whether stn-tf computes it from the model's own outputs.
        half: `float16` or `bfloat16` where the model rounds it to that; it leaves as float32.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    meaning: Meaning = "raw"
    derived: bool = False
    half: Literal["float16", "bfloat16"] | None = None


class ModelInterface(_Frozen):
    """What a model takes and gives.

    Attributes:
        inputs: In the order of the model.
        outputs: The model's own in its order, then what is derived of them, then what its
            transformers do.
        task: What the outputs are: `classification` (one of K classes), `binary` (one of two),
            `multilabel` (any of K), `regression`, `embedding`, `dense` (a map for each image), or
            `none`, undecided.
        class_names: In the order of the probabilities; empty where there are no classes.
    """

    inputs: tuple[InputSpec, ...]
    outputs: tuple[OutputSpec, ...]
    task: Task = "none"
    class_names: tuple[str, ...] = ()

    @property
    def image(self) -> InputSpec:
        """The input, of a model that takes one batch of images and nothing else.

        Raises:
            ModelError: If the model is another, or images cannot become its input.
        """
        if len(self.inputs) != 1:
            raise ModelError(
                f"The model takes {len(self.inputs)} inputs, "
                f"{', '.join(spec.name for spec in self.inputs)}, and not one batch of images. "
                "Call its signatures with a TensorFlow Serving client."
            )
        self.inputs[0].require_decodable()
        return self.inputs[0]

    @property
    def takes_images(self) -> bool:
        """Whether image files are all that the model needs."""
        return len(self.inputs) == 1 and self.inputs[0].decodable

    def output(self, name: str) -> OutputSpec | None:
        """Returns an output by its name."""
        return next((spec for spec in self.outputs if spec.name == name), None)

    def named(self, meaning: Meaning) -> tuple[str, ...]:
        """Returns the names of the outputs with a meaning, in order."""
        return tuple(spec.name for spec in self.outputs if spec.meaning == meaning)

    @property
    def own_outputs(self) -> tuple[str, ...]:
        """The names of the model's own outputs."""
        looks = ("theta", "corners", "crops")
        return tuple(s.name for s in self.outputs if not s.derived and s.meaning not in looks)

    def chosen(self, outputs: Mapping[str, np.ndarray]) -> list[list[int]]:
        """Returns the indices of the classes that each example is said to be of.

        One each for `classification` and `binary`, any number for `multilabel`, highest first.
        """
        if self.task == "multilabel":
            (name,) = self.named("probabilities")[:1]
            picked = []
            for row in np.asarray(outputs[name], np.float64):
                order = np.argsort(-row, kind="stable")
                picked.append([int(i) for i in order if row[i] >= THRESHOLD])
            return picked
        if self.named("class"):
            return [[int(index)] for index in outputs[self.named("class")[0]]]
        # The model has an output of its own by the name of `class`.
        (scores,) = (*self.named("probabilities"), *self.named("logits"))[:1]
        return [[int(index)] for index in np.argmax(outputs[scores], axis=-1)]


def words(shape: Sequence[int | None]) -> str:
    """Returns a shape as errors give it: `[?, 28, 28, 1]`."""
    return "[" + ", ".join("?" if length is None else str(length) for length in shape) + "]"


def numpy_dtype(name: str) -> np.dtype:
    """Returns NumPy's type of that name, bfloat16 included; bytes objects for `string`."""
    if name == "string":
        return np.dtype(object)
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def _paired(
    mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    count = max(len(mean), len(std))
    return (
        mean * count if len(mean) == 1 else mean,
        std * count if len(std) == 1 else std,
    )
