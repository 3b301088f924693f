"""What the user says of a model that cannot be seen in it: its task, classes, range and sizes."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from stn_tf.errors import ExportError
from stn_tf.interface import RESIZES, TASKS, InputSpec, Meaning, ModelInterface, Task, words


@dataclasses.dataclass(frozen=True)
class Declaration:
    """What is declared; None is left to the model, and said where it stays undecided.

    Attributes:
        task: One of `stn_tf.interface.TASKS`.
        classes: The names of the classes, in the order of the outputs.
        input_range: What black and white are for the model: `(0, 1)`, `(0, 255)`, `(-1, 1)`.
        input_mean: Subtracted after that, one number or one a channel.
        input_std: Divided by after that, one number or one a channel.
        input_shape: The shape of one image, None where any size will do; the batch is not part.
        color_space: `grayscale`, `rgb` or `bgr`.
        resize: How images of another size are fitted, one of `stn_tf.interface.RESIZES`.
        crop_pct, pad_value, interpolation, antialias: Further parts of the fitting, as in
            `stn_tf.interface.InputSpec`.
        meanings: Of the model's own outputs, what some of them are, by name.

    Raises:
        ExportError: If one of them cannot be.
    """

    task: Task | None = None
    classes: tuple[str, ...] | None = None
    input_range: tuple[float, float] | None = None
    input_mean: tuple[float, ...] | None = None
    input_std: tuple[float, ...] | None = None
    input_shape: tuple[int | None, ...] | None = None
    color_space: str | None = None
    resize: str | None = None
    crop_pct: float | None = None
    pad_value: float | None = None
    interpolation: str | None = None
    antialias: bool | None = None
    meanings: Mapping[str, Meaning] | None = None

    def __post_init__(self) -> None:
        for argument, choices in (("task", TASKS), ("resize", RESIZES)):
            value = getattr(self, argument)
            if value is not None and value not in choices:
                raise ExportError(
                    f"`{argument}` must be one of {', '.join(choices)}, but it is {value!r}."
                )
        if isinstance(self.classes, str):
            raise ExportError(
                f"`classes` must be a sequence of names, but it is the text {self.classes!r}. "
                "Put the names into a list."
            )
        if self.classes is not None:
            object.__setattr__(self, "classes", tuple(map(str, self.classes)))
            twice = sorted({name for name in self.classes if self.classes.count(name) > 1})
            if twice or not self.classes:
                what = f"{twice[0]!r} is there twice" if twice else "there are none"
                raise ExportError(f"`classes` must be different names, but {what}.")
        if self.input_range is not None:
            object.__setattr__(self, "input_range", _range(self.input_range))
        for argument in ("input_mean", "input_std"):
            value = getattr(self, argument)
            if value is not None:
                numbers = tuple(map(float, value if isinstance(value, Sequence) else [value]))
                low = argument == "input_std" and min(numbers, default=0.0) <= 0.0
                if not numbers or not all(map(math.isfinite, numbers)) or low:
                    raise ExportError(
                        f"`{argument}` must be one number or one a channel"
                        f"{', each above 0' if argument == 'input_std' else ''}, "
                        f"but it is {value!r}."
                    )
                object.__setattr__(self, argument, numbers)
        if self.input_shape is not None:
            sizes = tuple(self.input_shape)
            if not all(n is None or (isinstance(n, int) and n > 0) for n in map(_whole, sizes)):
                raise ExportError(
                    "`input_shape` must be the sizes of one image such as (224, 224, 3), None "
                    f"where any will do, but it is {self.input_shape!r}."
                )
            object.__setattr__(self, "input_shape", tuple(map(_whole, sizes)))

    @classmethod
    def of(cls, interface: ModelInterface) -> "Declaration":
        """Returns what a run, or an export, declares of its network.

        Of several inputs nothing is declared: their shapes and types are in the network.
        """
        whatever = cls(
            task=interface.task,
            classes=interface.class_names or None,
            meanings={output.name: output.meaning for output in interface.outputs},
        )
        if len(interface.inputs) != 1:
            return whatever
        (spec,) = interface.inputs
        known = spec.value_range is not None  # What is subtracted and divided by is of that range.
        return dataclasses.replace(
            whatever,
            input_range=spec.value_range,
            input_mean=spec.mean if known else None,
            input_std=spec.std if known else None,
            input_shape=spec.shape[1:] if spec.layout else None,
            color_space=spec.color_space,
            resize=spec.resize,
            crop_pct=spec.crop_pct,
            pad_value=spec.pad_value,
            interpolation=spec.interpolation,
            antialias=spec.antialias,
        )

    def over(self, other: "Declaration") -> "Declaration":
        """Returns what is declared here, and what another declares of the rest.

        Another task has other classes and meanings than those that are known.
        """
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        given = {name: value for name, value in fields.items() if value is not None}
        if self.task is not None and self.task != other.task:
            other = dataclasses.replace(other, classes=None, meanings=None)
        return dataclasses.replace(other, **given)

    def agreeing_with(self, known: "Declaration") -> "Declaration":
        """Returns what is known, and what is declared of the rest.

        Raises:
            ExportError: If what is declared is known to be something else.
        """
        for field in dataclasses.fields(self):
            value, other = getattr(self, field.name), getattr(known, field.name)
            if value is not None and other is not None and value != other:
                raise ExportError(
                    f"`{field.name}` must be {other!r} as in the run, which knows what its "
                    f"network takes and gives, but it is {value!r}. Leave it away."
                )
        return self.over(known)

    def fill(self, spec: InputSpec) -> InputSpec:
        """Returns an image input with what is declared of it.

        Raises:
            ExportError: If the range, mean or deviation does not fit the input.
        """
        found: dict[str, Any] = {
            "value_range": self.input_range,
            "mean": self.input_mean,
            "std": self.input_std,
            "color_space": self.color_space,
            "resize": self.resize,
            "crop_pct": self.crop_pct,
            "pad_value": self.pad_value,
            "interpolation": self.interpolation,
            "antialias": self.antialias,
        }
        given = {name: value for name, value in found.items() if value is not None}
        for name in ("mean", "std"):
            count = len(given.get(name, (0.0,)))
            if count not in (1, spec.channels):
                raise ExportError(
                    f"`input_{name}` must be one number or one for each of {spec.channels} "
                    f"channels of `{spec.name}`, but it is {count} numbers."
                )
        spec = InputSpec.model_validate({**spec.model_dump(), **given})
        if spec.dtype == "uint8" and spec.limits not in (None, (0.0, 255.0)):
            raise ExportError(
                f"`input_range` must be 0 255 for `{spec.name}`, which takes bytes (uint8), but "
                f"with mean and deviation it is {spec.limits}. Leave it out."
            )
        return spec


def check_shape(name: str, given: Sequence[int | None], known: Sequence[int | None]) -> None:
    """Raises ExportError if a shape that was given is not one that the model takes."""
    fits = len(given) == len(known) and all(
        a is None or b is None or a == b for a, b in zip(given, known, strict=True)
    )
    if not fits:
        raise ExportError(
            f"`input_shape` must fit the input `{name}` of the model, {words(known)} without the "
            f"batch, but it is {words(given)}."
        )


def _range(value: Any) -> tuple[float, float]:
    try:
        low, high = map(float, value)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ExportError(
            "`input_range` must be two numbers, what black and what white is, such as (0, 1), "
            f"(0, 255) or (-1, 1), but it is {value!r}."
        )
    return low, high


def _whole(value: Any) -> Any:
    return int(value) if hasattr(value, "__index__") else value
