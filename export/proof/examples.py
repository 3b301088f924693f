"""What files are compared on: real images, and inputs at the edge of what a model can be given."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from stn_tf.data.image_file import SUFFIXES, UNREADABLE, read_for
from stn_tf.errors import DataError, ExportError
from stn_tf.export.proof.expectations import Case, Feeds
from stn_tf.export.source.input_specs import Sizes
from stn_tf.interface import InputSpec, ModelInterface, numpy_dtype, words

# One image, a pair, and an odd number that no vector width divides.
BATCHES = (1, 2, 7)
# So many real images make up the three batches.
REAL_IMAGES = sum(BATCHES)
_HARD = 7
# So many of the user's images are read.
_MOST_IMAGES = 1000


def fixed_batch(interface: ModelInterface) -> int | None:
    """Returns the batch size of a model that takes one alone; None where any will do."""
    sizes = {spec.shape[0] for spec in interface.inputs if spec.shape} - {None}
    return max((size for size in sizes if size is not None), default=None)


def real_cases(interface: ModelInterface, feeds: Feeds, kind: str) -> list[Case]:
    """Splits examples, of a kind (`real images`), into batches of 1, 2 and 7, or of the model's."""
    fixed = fixed_batch(interface)
    batches = BATCHES if fixed is None else (fixed, fixed)
    enough = repeated(interface, feeds, sum(batches))
    cases, start = [], 0
    for number, size in enumerate(batches, start=1):
        part = {
            name: values[start : start + size] if _batched(interface, name) else values
            for name, values in enough.items()
        }
        number_text = f" ({number})" if fixed is not None else ""
        cases.append(Case(f"{kind}, batch {size}{number_text}", part, real=True))
        start += size
    return cases


def repeated(interface: ModelInterface, feeds: Feeds, count: int) -> dict[str, np.ndarray]:
    """Returns `count` examples, repeated where they are too few."""
    return {
        name: np.resize(values, (count, *values.shape[1:])) if _batched(interface, name) else values
        for name, values in feeds.items()
    }


def adversarial_case(interface: ModelInterface, feeds: Feeds) -> Case:
    """Images at the edge of what the model can be given, as one batch of 7, or of the model's.

    Black, white, noise, single pixels (the highest frequency), one lit corner, and a real image
    pushed half out of the picture and upside down. Inputs that are no images stay as they are.
    """
    count = fixed_batch(interface) or _HARD
    enough = repeated(interface, feeds, max(count, _HARD))
    hard = {
        spec.name: np.resize(_hard(spec, values), (count, *values.shape[1:]))
        if spec.layout is not None
        else (values[:count] if spec.shape else values)
        for spec in interface.inputs
        for values in (enough[spec.name],)
    }
    return Case(f"adversarial images, batch {count}", hard)


def feeds_for(
    interface: ModelInterface, images: np.ndarray | Feeds | Sequence[Path] | None
) -> dict[str, np.ndarray]:
    """Returns arrays for every input, checked: the user's, read from files, or made up.

    Raises:
        DataError, ExportError, InputError, ModelError: As `checked` and `read_examples` do.
    """
    if images is None:
        return made_up(interface)
    if isinstance(images, Sequence) and not isinstance(images, np.ndarray):
        return read_examples(interface, [Path(path) for path in images], _MOST_IMAGES)
    return checked(interface, images)


def made_up(interface: ModelInterface) -> dict[str, np.ndarray]:
    """Returns examples for inputs of which nothing is known but the interface.

    Raises:
        ExportError: If an input holds text.
    """
    count = max(REAL_IMAGES, 2 * (fixed_batch(interface) or 1))
    rng = np.random.default_rng(3)
    return {spec.name: _made_up(spec, count, rng) for spec in interface.inputs}


def made_up_tensors(specs: Mapping[str, tf.TensorSpec], count: int) -> dict[str, np.ndarray]:
    """Returns examples for a signature that stays as it is.

    Raises:
        ExportError: If an input holds text, or its rank is unknown.
    """
    rng = np.random.default_rng(4)
    found = {}
    for name, spec in specs.items():
        shape = None if spec.shape.rank is None else tuple(spec.shape)
        if shape is None:
            raise ExportError(f"The input `{name}` must have a known rank. Give examples of it.")
        found[name] = _made_up(InputSpec(name=name, dtype=spec.dtype.name, shape=shape), count, rng)
    return found


def _made_up(spec: InputSpec, count: int, rng: np.random.Generator) -> np.ndarray:
    if spec.dtype == "string":
        raise ExportError(
            f"The input `{spec.name}` holds text, of which nobody can make up examples. Give some: "
            "arrays for all inputs by name, with `images` or, in an .npz file, with --images."
        )
    kind = numpy_dtype(spec.dtype)
    if not spec.shape:
        return np.asarray(rng.uniform(size=()) if kind.kind == "f" else 1).astype(kind)
    shape = (spec.shape[0] or count, *Sizes().shape(spec))
    if spec.shape[0] is not None:
        shape = (max(count, spec.shape[0]), *shape[1:])
    if spec.is_image:
        # Smooth, as photographs are: noise is among the adversarial images.
        height, width = shape[1:3] if spec.layout == "NHWC" else shape[2:]
        channels = shape[-1] if spec.layout == "NHWC" else shape[1]
        coarse = rng.uniform(size=(shape[0], 6, 6, channels)).astype(np.float32)
        smooth = tf.image.resize(coarse, (height, width), method="bilinear").numpy()
        return _from_unit(spec, smooth)
    if spec.dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if kind.kind == "f":
        return _from_unit(spec, rng.uniform(size=shape).astype(np.float32))
    # Most often indices, of which nobody says how many there are.
    return rng.integers(0, 2, shape).astype(kind)


def _from_unit(spec: InputSpec, unit: np.ndarray) -> np.ndarray:
    """Channels-last images in 0..1 as the model takes them; as they are if nobody knows how."""
    if spec.decodable:
        return spec.from_pixels(unit * np.float32(255))
    kind = numpy_dtype(spec.dtype)
    low, high = spec.limits or ((0.0, 255.0) if kind.kind in "iu" else (0.0, 1.0))
    values = low + unit * (high - low)
    if spec.layout == "NCHW":
        values = np.moveaxis(values, -1, 1)
    return (np.rint(values) if kind.kind in "iu" else values).astype(kind)


def _hard(spec: InputSpec, images: np.ndarray) -> np.ndarray:
    low, high = spec.limits or ((0.0, 255.0) if images.dtype.kind in "iu" else (0.0, 1.0))
    last = spec.layout in ("NHWC", "NDHWC")
    shape = images.shape[1:] if last else (*images.shape[2:], images.shape[1])
    first = (images[0] if last else np.moveaxis(images[0], 0, -1)).astype(np.float64)
    height, width = shape[:2]
    rng = np.random.default_rng(0)
    places = np.indices(shape)[:-1]  # All but the channel.
    corner = np.zeros(shape)
    corner[(0,) * (len(shape) - 1)] = 1.0
    pushed = np.full(shape, low)
    pushed[: height - height // 2, : width - width // 2] = first[height // 2 :, width // 2 :]
    unit: list[np.ndarray] = [
        np.zeros(shape),
        np.ones(shape),
        rng.uniform(size=shape),
        np.asarray(places.sum(axis=0) % 2.0),
        corner,
    ]
    hard = [low + image * (high - low) for image in unit]
    stacked = np.stack([*hard, pushed, first[::-1, ::-1]])
    if images.dtype.kind in "iu":
        stacked = np.rint(stacked)
    stacked = stacked if last else np.moveaxis(stacked, -1, 1)
    return np.ascontiguousarray(stacked.astype(images.dtype))


def checked(interface: ModelInterface, images: np.ndarray | Feeds) -> dict[str, np.ndarray]:
    """Returns the user's examples as the model takes them, an array for every input.

    Bytes (uint8) for an input of other numbers are pixels of 0..255, and become its range.

    Raises:
        ExportError: If an array is missing or has another shape.
        InputError: If its values lie outside of the model's range.
    """
    names = [spec.name for spec in interface.inputs]
    given = dict(images) if isinstance(images, Mapping) else {names[0]: np.asarray(images)}
    if set(given) != set(names):
        raise ExportError(
            f"`images` must have an array for each of {', '.join(names)}, "
            f"but it has {', '.join(given)}."
        )
    for spec in interface.inputs:
        values = np.asarray(given[spec.name])
        if values.dtype == np.uint8 and spec.dtype != "uint8" and spec.decodable:
            values = spec.from_pixels(values) if _pixels_fit(spec, values) else values
        wanted = spec.shape[1:]
        fits = values.ndim == len(spec.shape) and all(
            rule is None or rule == length
            for rule, length in zip(wanted, values.shape[1:], strict=False)
        )
        if not fits or (values.ndim and not len(values)):
            raise ExportError(
                f"`{spec.name}` must have shape [N, {', '.join(words(wanted)[1:-1].split(', '))}] "
                f"with at least one image, but it has shape {list(values.shape)}."
            )
        spec.check_range(values)
        given[spec.name] = values.astype(numpy_dtype(spec.dtype))
    return given


def _pixels_fit(spec: InputSpec, values: np.ndarray) -> bool:
    height, width = spec.size
    return values.ndim == 4 and all(
        rule is None or rule == length
        for rule, length in zip((height, width, spec.channels), values.shape[1:], strict=True)
    )


def read_examples(
    interface: ModelInterface, paths: Sequence[Path], most: int
) -> dict[str, np.ndarray]:
    """Reads the user's images: files, folders of them, `.npy` and `.npz` arrays.

    Args:
        interface: What they are for. Image files are decoded and fitted as it says, arrays taken
            as they are; an `.npz` for a model of several inputs has an array for each.
        paths: Where they are; folders are searched at any depth, in alphabetical order.
        most: So many are read at most.

    Raises:
        DataError: If there is none, or a file cannot be read.
        ModelError: If image files cannot become the model's input.
    """
    parts: list[dict[str, np.ndarray]] = []
    count = 0
    for path in _found(paths):
        if count >= most:
            break
        try:
            part = _read(interface, path)
        except (*UNREADABLE, zipfile.BadZipFile) as error:
            raise DataError(f"`{path}` cannot be read: {' '.join(str(error).split())}.") from error
        count += len(next(iter(part.values())))
        parts.append(part)
    if not parts:
        raise DataError(
            f"`images` must hold image files or arrays, but {', '.join(map(str, paths))} hold none."
        )
    sizes = [{name: v.shape[1:] for name, v in part.items()} for part in parts]
    # A model of free sizes gets one batch of those that are as large as the first.
    alike = [part for part, size in zip(parts, sizes, strict=True) if size == sizes[0]]
    return {name: np.concatenate([p[name] for p in alike])[:most] for name in alike[0]}


def _found(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise DataError(f"`{path}` does not exist. Give image files, folders or arrays.")
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        wanted = SUFFIXES if path.is_dir() else {*SUFFIXES, ".npy", ".npz", path.suffix.lower()}
        found += [p for p in inside if p.suffix.lower() in wanted and not p.name.startswith(".")]
    return found


def _read(interface: ModelInterface, path: Path) -> dict[str, np.ndarray]:
    names = [spec.name for spec in interface.inputs]
    if path.suffix.lower() == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            if set(names) <= set(arrays.files):
                return checked(interface, {name: arrays[name] for name in names})
            key = next((k for k in ("images", "x") if k in arrays.files), arrays.files[0])
            return checked(interface, arrays[key])
    if path.suffix.lower() == ".npy":
        return checked(interface, np.load(path, allow_pickle=False))
    spec = interface.image
    values, _ = read_for(path, spec)
    return {spec.name: values[np.newaxis]}


def _batched(interface: ModelInterface, name: str) -> bool:
    return any(spec.name == name and bool(spec.shape) for spec in interface.inputs)
