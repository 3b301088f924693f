"""The inputs of a model as its interface tells them: sizes, layout, colours, range."""

import dataclasses
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from stn_tf.errors import ExportError
from stn_tf.export.source.declaration import Declaration, check_shape
from stn_tf.export.source.graph_facts import GraphFacts
from stn_tf.interface import InputSpec, words

IMAGES, INPUT = "images", "input"
_COLOURS = {1: "grayscale", 3: "rgb"}


def named_specs(
    found: Sequence[tuple[str | None, tf.TensorSpec]], declared: Declaration
) -> dict[str, tf.TensorSpec]:
    """Returns the inputs of a model by name, with the declared shape.

    Args:
        found: Name, None for an automatic one, shape and type of each input; half precision
            becomes float32.
        declared: May give the shape of the only input.

    Raises:
        ExportError: If an input is no dense tensor of a known rank, or the shape does not fit.
    """
    specs: dict[str, tf.TensorSpec] = {}
    for index, (name, spec) in enumerate(found):
        if not isinstance(spec, tf.TensorSpec) or spec.shape.rank is None:
            raise ExportError(
                f"The input `{name or index}` must be a dense tensor of a known rank, but it is "
                f"{spec}. Give the function an input_signature of tf.TensorSpec."
            )
        shape = list(spec.shape)
        if declared.input_shape is not None:
            if len(found) > 1:
                raise ExportError(
                    f"`input_shape` is for models with one input, but this one has {len(found)}. "
                    "Build the model for inputs of these shapes."
                )
            given = list(declared.input_shape)
            check_shape(name or IMAGES, given, shape[1:])
            pairs = zip(given, shape[1:], strict=True)
            shape = [shape[0], *(known if one is None else one for one, known in pairs)]
        dtype = tf.float32 if spec.dtype in (tf.float16, tf.bfloat16) else spec.dtype
        images = len(shape) in (4, 5) and (dtype.is_floating or dtype == tf.uint8)
        # Only models given their classes, as the paper's networks are, have the customary name.
        custom = images and len(found) == 1 and (name is None or declared.classes is not None)
        if custom:
            name = IMAGES
        elif name is None:
            number = sum(n is None for n, _ in found[:index]) + 1
            name = INPUT if number == 1 else f"{INPUT}_{number}"
            while name in {n for n, _ in found}:
                name += "_"
        specs[name] = tf.TensorSpec(shape, dtype, name)
    if len(specs) != len(found):
        raise ExportError(f"The inputs must have different names, but they are {', '.join(specs)}.")
    return specs


def describe(
    specs: Mapping[str, tf.TensorSpec], declared: Declaration, facts: GraphFacts
) -> tuple[tuple[InputSpec, ...], list[str]]:
    """Returns what the interface tells of the inputs, and the lines that say what was decided.

    Raises:
        ExportError: If a range, mean or deviation was declared that fits no input.
    """
    found = [_describe(name, spec) for name, spec in specs.items()]
    pictures = [spec for spec in found if spec.layout is not None]
    ranged = (declared.input_range, declared.input_mean, declared.input_std, declared.resize)
    if not pictures and any(part is not None for part in ranged):
        raise ExportError(
            "`input_range` is for models that take images [N, height, width, channels], but the "
            f"inputs are {', '.join(f'{s.name} {words(s.shape)}' for s in found)}. Leave it out."
        )
    notes, filled = [], []
    for index, spec in enumerate(found):
        if spec.layout is not None:
            spec = declared.fill(spec)
            if spec.value_range is None:
                spec, note = _range(spec, facts.takes_bytes(index))
                notes.append(note)
            if spec.layout in ("NCHW", "NCDHW"):
                notes.append(f"`{spec.name}` {words(spec.shape)} is taken as channels first.")
            if spec.decodable and spec.size != (None, None) and declared.resize is None:
                notes.append(
                    f"Images of another size are fitted into `{spec.name}` whole (letterbox); "
                    "--resize changes it."
                )
        filled.append(spec)
    return tuple(filled), notes


def _describe(name: str, spec: tf.TensorSpec) -> InputSpec:
    shape = tuple(spec.shape)
    dtype = spec.dtype.name
    rank = len(shape)
    if rank not in (4, 5) or not (spec.dtype.is_floating or spec.dtype == tf.uint8):
        return InputSpec(name=name, dtype=dtype, shape=shape)
    first, last = shape[1] in (1, 3, 4), shape[-1] in (1, 3, 4)
    channels_first = first and (not last or keras.config.image_data_format() == "channels_first")
    layout = {4: "NHWC", 5: "NDHWC"}[rank]
    if channels_first:
        layout = {4: "NCHW", 5: "NCDHW"}[rank]
    made = InputSpec(name=name, dtype=dtype, shape=shape)
    made = InputSpec.model_validate({**made.model_dump(), "layout": layout})
    colour = _COLOURS.get(made.channels or 0) if rank == 4 else None
    return InputSpec.model_validate({**made.model_dump(), "color_space": colour})


def _range(spec: InputSpec, takes_bytes: bool) -> tuple[InputSpec, str]:
    bytes_range = {**spec.model_dump(), "value_range": (0.0, 255.0)}
    if spec.dtype == "uint8":
        return InputSpec.model_validate(bytes_range), ""
    if takes_bytes:
        return InputSpec.model_validate(bytes_range), (
            f"`{spec.name}` takes values in 0..255, which the model scales itself; --input-range "
            "changes it."
        )
    return spec, (
        f"The range of `{spec.name}` is unknown, so image files cannot be predicted or served "
        "(arrays can); say --input-range, such as 0 1 or 0 255."
    )


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Stand-ins for free dimensions, for examples: large enough for networks that shrink images."""

    side: int = 64
    other: int = 80

    def shape(self, spec: InputSpec) -> tuple[int, ...]:
        """Returns the shape of one example of an input."""
        free = iter((self.side, self.other))
        return tuple(next(free, 8) if n is None else n for n in spec.shape[1:])
